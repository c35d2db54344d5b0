package engine

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func (h *harness) tap(c TapConfig) *Tap {
	h.t.Helper()
	t, err := h.engine.Tap(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return t
}

// all reads what there is.
func (t *Tap) all() (list []Captured) {
	t.Read(func(c *Captured) bool {
		one := *c
		one.Before, one.After = bytes.Clone(c.Before), bytes.Clone(c.After)
		list = append(list, one)
		return true
	})
	return list
}

// syns returns SYNs of so many clients, from a port on.
func syns(vip string, first, n int) (list []packettest.Frame) {
	for i := range n {
		list = append(list, packettest.TCP(fmt.Sprintf("198.51.100.7:%d", first+i), vip, packet.TCPSyn))
	}
	return list
}

// TestTap: copies are what came and what left, and say whose.
func TestTap(t *testing.T) {
	for _, mode := range loadModes {
		h := newHarness(t, 1, service("web", vip4, mode, 2))
		if mode == balancer.FullNAT {
			h = newHarness(t, 1, fullnatService("web", vip4, 2, 9))
		}
		tap := h.tap(TapConfig{})
		in := append(syns(vip4, 1000, 3), packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn), packettest.Echo("198.51.100.7", "192.0.2.10", 1))
		out := h.pass(0, in...)
		got := tap.all()
		if len(got) != len(in) || len(out) != 4 {
			t.Fatalf("%v: %d copies of %d packets, of which %d left", mode, len(got), len(in), len(out))
		}
		for i, c := range got {
			if !bytes.Equal(c.Before, in[i].Bytes()) || c.Length != len(in[i].Bytes()) || c.Time.IsZero() {
				t.Errorf("%v: packet %d as it came is %x", mode, i, c.Before)
			}
			switch i {
			case 3:
				if c.Verdict != packet.DropNoService || c.After != nil || c.Service != "" {
					t.Errorf("%v: dropped: %+v", mode, c)
				}
				continue
			case 4:
				if c.Verdict != packet.Replied {
					t.Errorf("%v: answered: %+v", mode, c)
				}
			default:
				if c.Verdict != packet.Forwarded || c.Service != "web" || c.Backend == "" || c.Reply {
					t.Errorf("%v: forwarded: %+v", mode, c)
				}
			}
			if left := out[min(i, 3)]; !bytes.Equal(c.After, left) || c.Left != len(left) {
				t.Errorf("%v: packet %d as it left is\n%x, want\n%x", mode, i, c.After, left)
			}
		}
		tap.Close()
		h.pass(0, in...)
		if more := tap.all(); len(more) != 0 {
			t.Errorf("%v: %d copies after the end", mode, len(more))
		}
	}
}

// TestTapFilters: each condition by itself, over the same packets.
func TestTapFilters(t *testing.T) {
	web, api := service("web", vip4, balancer.NAT, 2), service("api", "192.0.2.11:80", balancer.NAT, 1)
	in := append(append(syns(vip4, 1000, 6), syns("192.0.2.11:80", 2000, 3)...), packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn))
	for name, test := range map[string]struct {
		c    TapConfig
		want int
	}{
		"all":     {TapConfig{}, 10},
		"service": {TapConfig{Service: "api"}, 3},
		"backend": {TapConfig{Service: "web", Backend: web.Backends[1].Name}, 3},
		"nobody":  {TapConfig{Service: "none"}, 0},
		"verdict": {TapConfig{Verdicts: []packet.Verdict{packet.DropNoService, packet.DropICMP}}, 1},
		"sample":  {TapConfig{Sample: 4}, 3},
		"rate":    {TapConfig{PerSecond: 4}, 4},
		"before":  {TapConfig{Filter: func(p *packet.Packet, _ []byte) bool { return p.Key.SrcPort >= 2000 && p.Key.SrcPort < 3000 }}, 3},
		"after":   {TapConfig{Filter: func(p *packet.Packet, _ []byte) bool { return p.Key.Dst == packet.AddrFrom(api.Backends[0].Address) }}, 6}, // of both services,
		"short":   {TapConfig{Snap: 20}, 10},
		"no room": {TapConfig{Room: 50}, 0},
	} {
		h := newHarness(t, 1, web, api)
		tap := h.tap(test.c)
		if out := h.pass(0, in...); len(out) != 9 {
			t.Fatalf("%s: %d packets left", name, len(out))
		}
		got := tap.all()
		if len(got) != test.want {
			t.Errorf("%s: %d copies, want %d", name, len(got), test.want)
		}
		s := tap.Stats()
		if s.Taken != uint64(test.want) || (s.Limited == 6) != (name == "rate") || (s.Dropped == 10) != (name == "no room") {
			t.Errorf("%s: %+v", name, s)
		}
		for _, c := range got {
			if n := test.c.Snap; n != 0 && (len(c.Before) != n || c.After != nil && len(c.After) != n || c.Length != len(in[0].Bytes())) {
				t.Errorf("%s: %d and %d bytes of %d", name, len(c.Before), len(c.After), c.Length)
			}
		}
	}
}

// TestTapRate: a second is one of the capture's, whenever it begins; clocks that are not quite one make
// no other of it, and one that ran around, or a long silence, does not end it for good.
func TestTapRate(t *testing.T) {
	tap := &Tap{config: TapConfig{PerSecond: 2}}
	for i, step := range []struct {
		now  uint32
		want bool
	}{
		{5990, true}, {6010, true}, {6011, false}, {6989, false}, {6990, true}, {6989, true}, {6995, false},
		{1 << 31, true}, {1<<32 - 10, true}, {1<<32 - 9, true}, {500, false}, {990, true}, {1<<31 + 990, true},
	} {
		if got := tap.allows(step.now); got != step.want {
			t.Errorf("step %d, %d ms: %v", i, step.now, got)
		}
	}
}

// TestTapNobodyReads: whoever reads too late has fewer copies, and the packets go on; what is
// read later is whole.
func TestTapNobodyReads(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
	tap := h.tap(TapConfig{Room: 5000})
	sent, read := 0, 0
	for round := range 40 {
		in := syns(vip4, 1000+10*round, 10)
		if out := h.pass(0, in...); len(out) != len(in) {
			t.Fatalf("%d packets of %d left", len(out), len(in))
		}
		sent += len(in)
		if round%7 != 6 {
			continue
		}
		for _, c := range tap.all() {
			f, err := packettest.Decode(c.Before)
			if err != nil || f.Dst.String() != vip4 || len(c.After) == 0 {
				t.Fatalf("a copy is spoilt: %+v, %v", f, err)
			}
			read++
		}
	}
	read += len(tap.all())
	if s := tap.Stats(); s.Taken != uint64(read) || s.Taken+s.Dropped != uint64(sent) || s.Dropped == 0 || read == 0 {
		t.Errorf("%+v of %d packets, %d read", s, sent, read)
	}
}

// TestTapOfWhatIsNotSent: a packet that the ring does not take is dropped, and told as that.
func TestTapOfWhatIsNotSent(t *testing.T) {
	const ring = 64
	for _, verdicts := range [][]packet.Verdict{nil, {packet.DropTxFull}, {packet.Forwarded}, {packet.DropTTL}} {
		h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
		tap := h.tap(TapConfig{Verdicts: verdicts})
		h.kernels[0].Answer(unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS)
		for range 2 {
			h.burst(0, ring)
			if _, err := h.engine.workers[0].pass(); err != nil {
				t.Fatal(err)
			}
		}
		count := map[packet.Verdict]int{}
		for _, c := range tap.all() {
			count[c.Verdict]++
			if (c.After == nil) != (c.Verdict == packet.DropTxFull) {
				t.Errorf("%v: left as %x", c.Verdict, c.After)
			}
		}
		for _, v := range []packet.Verdict{packet.Forwarded, packet.DropTxFull} {
			want := ring
			if verdicts != nil && verdicts[0] != v {
				want = 0
			}
			if count[v] != want {
				t.Errorf("%v: %d copies of %v, want %d", verdicts, count[v], v, want)
			}
		}
	}
}

// TestSeveralTaps: each has what it asks for, whoever comes and goes.
func TestSeveralTaps(t *testing.T) {
	h := newHarness(t, 2, service("web", vip4, balancer.NAT, 2))
	taps := []*Tap{h.tap(TapConfig{}), h.tap(TapConfig{Snap: 20}), h.tap(TapConfig{Service: "none"}), h.tap(TapConfig{Sample: 2})}
	if _, err := h.engine.Tap(TapConfig{}); !errors.Is(err, ErrTapped) {
		t.Errorf("a fifth one: %v", err)
	}
	h.pass(1, syns(vip4, 1000, 2)...)
	for i, want := range []int{2, 2, 0, 1} {
		if n := len(taps[i].all()); n != want {
			t.Errorf("capture %d has %d copies, want %d", i, n, want)
		}
	}
	taps[0].Close()
	taps[0] = h.tap(TapConfig{Backend: "a"})
	taps[1].Close()
	taps[1].Close() // once more
	h.pass(1, syns(vip4, 1000, 2)...)
	for i, want := range []int{1, 0, 0, 1} {
		if n := len(taps[i].all()); n != want {
			t.Errorf("then capture %d has %d copies, want %d", i, n, want)
		}
	}
}

// TestTapWhileWorkersRun: it comes and goes beside them, and is read at the same time.
func TestTapWhileWorkersRun(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
	end := h.busy(1000, 5)
	for range 20 {
		tap := h.tap(TapConfig{Room: 4000})
		for tap.Stats().Taken < 50 {
			tap.all()
		}
		tap.Close()
	}
	end()
	if len(h.engine.workers[0].taps) != 0 {
		t.Error("the worker goes on")
	}
}

// TestTapMemory: a capture takes no more than it says.
func TestTapMemory(t *testing.T) {
	slot := int(reflect.TypeFor[Captured]().Size())
	for _, workers := range []int{1, 4} {
		h := newHarness(t, workers, service("web", vip4, balancer.NAT, 2))
		tap := h.tap(TapConfig{})
		sum := 0
		for _, l := range tap.lanes {
			sum += cap(l.bytes) + cap(l.slots)*slot + cap(l.stage)
		}
		if sum > TapMemory || sum < TapMemory*9/10 || h.engine.Taps() != 1 {
			t.Errorf("%d workers: %d bytes for %d captures, want %d", workers, sum, h.engine.Taps(), TapMemory)
		}
	}
}

// TestTapOfStandby: what a bond's idle slave turns away has no flow, though what came before it may
// have left without one.
func TestTapOfStandby(t *testing.T) {
	h := newHarness(t, 1, scattering(vip4, balancer.DSR, 2))
	tap := h.tap(TapConfig{})
	query := packettest.UDP(client4, vip4, "query")
	if out := h.pass(0, query); len(out) != 1 {
		t.Fatalf("%d packets left", len(out))
	}
	h.facts.Ports[0].Standby = true
	h.apply()
	h.dropped(0, query, packet.DropStandby)
	got := tap.all()
	if len(got) != 2 || got[0].Backend == "" || got[1].Verdict != packet.DropStandby || got[1].Backend != "" || got[1].After != nil {
		t.Errorf("%+v", got)
	}
}

func BenchmarkTapped(b *testing.B) {
	for name, c := range map[string]*TapConfig{
		"off": nil, "1 in 1000": {Sample: 1000}, "filter": {Filter: func(p *packet.Packet, _ []byte) bool { return p.Key.SrcPort == 1 }}, "all": {},
	} {
		b.Run(name, func(b *testing.B) {
			l := newLoad(b, balancer.NAT, vip4, 1000)
			if c != nil {
				l.tap(*c)
			}
			b.ResetTimer()
			for b.Loop() {
				l.batch()
			}
			perPacket(b)
		})
	}
}

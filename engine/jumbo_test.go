package engine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// newJumboHarness returns a harness whose packets may have several frames.
func newJumboHarness(t testing.TB, workers int, services ...balancer.ServiceSpec) *harness {
	t.Helper()
	h := newHarness(t, workers, services...)
	for i := range h.kernels {
		h.kernels[i] = xsktest.NewMultiBuffer(xsktest.Today, 256, 2048, 64)
	}
	h.plug()
	h.facts.Ports[0].MTU = xsk.LongMTU
	h.apply()
	return h
}

// Long packets become what short ones become, whole and both ways, with and without VLAN tags;
// they count with all of their bytes.
func TestJumboPackets(t *testing.T) {
	for _, ends := range [][2]string{{client4, "192.0.2.10:53"}, {client6, "[2001:db8:2::10]:53"}} {
		for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR} {
			for _, vlans := range [][]uint16{nil, {7}} {
				t.Run(fmt.Sprint(mode, ends[0], vlans), func(t *testing.T) {
					h := newJumboHarness(t, 1, datagramService("dns", ends[1], mode, 1))
					in := big(ends[0], ends[1], 8900, 1)
					in.VLANs = vlans
					for range 3 { // a new flow, and one that is known
						out := h.one(0, in)
						if !bytes.Equal(out.Payload, in.Payload) {
							t.Errorf("a payload of %d bytes is one of %d, or another one", len(in.Payload), len(out.Payload))
						}
						if mode == balancer.DSR {
							continue
						}
						back := packettest.UDP(out.Dst.String(), out.Src.String(), "")
						back.Payload = in.Payload
						if answer := h.one(0, back); !bytes.Equal(answer.Payload, in.Payload) || answer.Dst != in.Src {
							t.Errorf("the answer to %v, of %d bytes, is another one", answer.Dst, len(answer.Payload))
						}
					}
					if n, want := h.engine.workers[0].count.Backends[0].Bytes[conntrack.Request], 3*(len(in.Bytes())-4*len(vlans)); n != uint64(want) {
						t.Errorf("%d bytes are counted, %d have gone, without tags", n, want)
					}
				})
			}
		}
	}
}

// What its way does not take is answered, or cut: the answer and the pieces are short packets.
// So is the refusal where no backend is up.
func TestJumboPacketsAreAnswered(t *testing.T) {
	for _, ends := range [][2]string{{client4, "192.0.2.10:53"}, {client6, "[2001:db8:2::10]:53"}} {
		h := newJumboHarness(t, 1, datagramService("dns", ends[1], balancer.NAT, 1))
		for a, hop := range h.facts.NextHops {
			hop.Link.MTU = 1400
			h.facts.NextHops[a] = hop
		}
		h.apply()
		in := big(ends[0], ends[1], 8900, 1)
		out := h.pass(0, in)
		if in.Is4() {
			if got := assembled(t, out); len(out) != 7 || !bytes.Equal(got.Payload, in.Payload) {
				t.Errorf("cut in %d pieces, of %d bytes together", len(out), len(got.Payload))
			}
			in.DF = true
			out = h.pass(0, in)
		}
		if len(out) != 1 || len(out[0]) > 1300 {
			t.Fatalf("%d packets came out in place of an answer", len(out))
		}
		if told := packettest.Verify(t, out[0]); told.Dst.Addr() != in.Src.Addr() {
			t.Errorf("%v was told", told.Dst)
		}
		h.setHealth("dns", h.spec.Services[0].Backends[0].Name, balancer.StateDown)
		in.Src = packettest.UDP(map[bool]string{true: "198.51.100.8:1", false: "[2001:db8:100::8]:1"}[in.Is4()], ends[1], "").Src
		if out := h.pass(0, in); len(out) != 1 || len(out[0]) > 1300 {
			t.Errorf("%d packets came out in place of a refusal", len(out))
		}
	}
}

// Fragments that fill a link of 9000 are held before the first one has come, and are received
// again as long as they were.
func TestJumboFragmentsAreHeld(t *testing.T) {
	for _, ends := range [][2]string{{client4, "192.0.2.10:53"}, {client6, "[2001:db8:2::10]:53"}} {
		h := newJumboHarness(t, 2, datagramService("dns", ends[1], balancer.NAT, 3))
		in := big(ends[0], ends[1], 30000, 1)
		list := packettest.Fragments(in.Bytes(), uint32(in.ID)<<16|7, 8800)
		slices.Reverse(list)
		out := assembled(t, h.spread(list, func(int) int { return 0 }))
		if !bytes.Equal(out.Payload, in.Payload) {
			t.Errorf("a payload of %d bytes is one of %d, or another one", len(in.Payload), len(out.Payload))
		}
	}
}

// Between ports that share no frames long packets are copied, if the other one has such.
func TestJumboPacketsAcross(t *testing.T) {
	for name, c := range map[string]struct {
		inner func() *xsktest.Kernel // nil: it shares frames
		lost  packet.Verdict         // Pending: none
	}{
		"shared":      {nil, packet.Pending},
		"apart":       {func() *xsktest.Kernel { return xsktest.NewMultiBuffer(xsktest.Today, 256, 4096, 64) }, packet.Pending},
		"apart, none": {func() *xsktest.Kernel { return xsktest.New(256, 2048, 64) }, packet.DropTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			h := &ports{harness: newJumboHarness(t, 1, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))}
			h.cross(64, false)
			if c.inner != nil {
				h.inner[0] = c.inner()
				h.plug()
			}
			h.facts.Ports[1].MTU = xsk.LongMTU
			h.apply()
			in := big(client4, "192.0.2.10:53", 8900, 1)
			_, out := h.by(0, 0, in)
			if c.lost != packet.Pending {
				if n := h.counted(c.lost); n != 1 || len(out) != 0 {
					t.Errorf("%d were lost as %v, %d sent", n, c.lost, len(out))
				}
				return
			}
			if len(out) != 1 || !bytes.Equal(packettest.Verify(t, out[0]).Payload, in.Payload) {
				t.Errorf("%d packets came out, or another one", len(out))
			}
			for _, k := range []*xsktest.Kernel{h.kernels[0], h.inner[0]} {
				if n := k.Socket().UMEM().Long(); n != 0 {
					t.Errorf("%d places are taken", n)
				}
			}
		})
	}
}

// Where packets may have several frames, and from which MTU on they have.
func TestJoins(t *testing.T) {
	if !xsk.MultiBuffer() {
		t.Log("this kernel has none: all is as without")
	}
	long := func(most int) int {
		if xsk.MultiBuffer() {
			return xsk.LongMTU
		}
		return most
	}
	for name, c := range map[string]struct {
		config   Config
		now      nic.State
		attached bpf.AttachMode
		most     int
		joins    bool
	}{
		"small":                     {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 1500}, "", long(3626), false},
		"jumbo":                     {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 9000, NoZeroCopy: true}, "", long(3626), true},
		"more than zero-copy takes": {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 3100}, "", long(3626), true},
		"there is none":             {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 3100, NoZeroCopy: true}, "", long(3626), false},
		"small frames":              {Config{Mode: xsk.ModeCopy, FrameSize: 2048}, nic.State{MTU: 3000}, "", long(1578), true},
		"the driver has none":       {Config{Mode: xsk.ModeCopy}, nic.State{MTU: 9000, NoFrags: true}, "", 3626, false},
		"but generic XDP has":       {Config{Mode: xsk.ModeGeneric}, nic.State{MTU: 9000, NoFrags: true}, "", long(3626), true},
		"auto comes to that":        {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 9000, NoFrags: true}, "", long(3626), true},
		"not if it is native":       {Config{Mode: xsk.ModeAuto}, nic.State{MTU: 9000, NoFrags: true}, bpf.Native, 3626, false},
		"zero-copy, three frames":   {Config{Mode: xsk.ModeZeroCopy}, nic.State{MTU: 9000, ZeroCopyFrames: 3}, "", long(3050), true},
		"zero-copy, two":            {Config{Mode: xsk.ModeZeroCopy}, nic.State{MTU: 9000, ZeroCopyFrames: 2}, "", 3050, false},
		"zero-copy, small frames":   {Config{Mode: xsk.ModeZeroCopy, FrameSize: 2048}, nic.State{MTU: 9000, ZeroCopyFrames: 5}, "", 1002, false},
		"asavie":                    {Config{Mode: xsk.ModeCopy, Driver: xsk.DriverAsavie}, nic.State{MTU: 9000}, "", 3626, false},
	} {
		if most := c.config.MaxMTU(&c.now, c.attached); most != c.most {
			t.Errorf("%s: an MTU of %d at most, want %d", name, most, c.most)
		}
		if joins := c.config.Joins(&c.now, c.attached); joins != (c.joins && xsk.MultiBuffer()) {
			t.Errorf("%s: several frames: %v", name, joins)
		}
	}
}

package bpf

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func offline(t testing.TB, s Steering) *Offline {
	t.Helper()
	o, err := NewOffline()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Apply(plan(t, s)); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOfflineAgainstOracle is TestAgainstOracle for the program that no kernel runs.
func TestOfflineAgainstOracle(t *testing.T) {
	r := random(t)
	o, memory := offline(t, Steering{}), memory{}
	seen := map[Reason]int{}
	for range 300 {
		s := randomSteering(r)
		if err := o.Apply(plan(t, s)); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			packet := randomPacket(r, s, pick(r, pools...), false)
			if n := len(body(packet)); r.IntN(4) == 0 && n > 16 {
				packet = fragment(packet, pick(r, 0, 8), pick(r, 16, n))
			}
			f := frame(packet, mixedTags[:pick(r, 0, 0, 1, 2, 3)]...)
			switch r.IntN(8) {
			case 0:
				f = sendTo(pick(r, groupMAC, broadcast), f)
			case 1:
				f = sendTo(pick(r, poolMACs...), f)
			default:
				f = sendTo(append(s.MACs, ownMAC)[0], f)
			}
			if r.IntN(2) == 0 {
				f = damage(r, f)
			}
			got, err := o.Judge(f)
			if err != nil {
				t.Fatalf("%v\n%+v\n%s", err, s, hex.Dump(f))
			}
			if want := memory.judge(s, f); got != want {
				t.Fatalf("%s, the oracle says %s\n%s\n%s", got, want, fmt.Sprintf("%+v", s), hex.Dump(f))
			}
			seen[got]++
		}
	}
	for r := range NumReasons {
		if r != DroppedNoSocket && seen[r] < 20 {
			t.Errorf("%s was seen %d times only: %v", r, seen[r], seen)
		}
	}
}

// TestOfflineAgainstKernel: the same frames, one after the other, have the same end in the kernel,
// the same action, and leave the same behind in the maps.
func TestOfflineAgainstKernel(t *testing.T) {
	r := random(t)
	p := loadWithSocket(t, Steering{})
	o := offline(t, Steering{})
	passed := o.machine.Map(steerMapPassedDatagrams)
	fragments := 0
	for range 100 {
		s := randomSteering(r)
		for _, err := range []error{p.Apply(plan(t, s)), o.Apply(plan(t, s))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			packet := randomPacket(r, s, pick(r, pools...), false)
			if n := len(body(packet)); r.IntN(3) == 0 && n > 16 {
				packet = fragment(packet, pick(r, 0, 8), pick(r, 16, n))
			}
			f := sendTo(append(s.MACs, ownMAC)[0], frame(packet, mixedTags[:pick(r, 0, 0, 1, 2, 3)]...))
			if r.IntN(2) == 0 {
				f = damage(r, f)
			}
			want := judge(t, p, f) // which has looked at the action
			got, err := o.Judge(f)
			if err != nil || got != want {
				t.Fatalf("%s, %v; the kernel says %s\n%+v\n%s", got, err, want, s, hex.Dump(f))
			}
		}
		var key steerDatagram
		var value uint8
		n := 0
		for all := p.objects.PassedDatagrams.Iterate(); all.Next(&key, &value); n++ {
			if b, ok := passed.Lookup(key); !ok || b[0] != value {
				t.Fatalf("the kernel remembers %+v", key)
			}
		}
		if n != passed.Len() {
			t.Fatalf("%d datagrams are remembered; the kernel has %d", passed.Len(), n)
		}
		fragments = max(fragments, n)
	}
	if fragments < 10 {
		t.Errorf("%d fragments were remembered at most", fragments)
	}
}

// BenchmarkOffline judges a packet of a service.
func BenchmarkOffline(b *testing.B) {
	o := offline(b, Steering{Services: []Service{{ip("192.0.2.1"), TCP, 80, 80}}})
	f := frame(tcp("198.51.100.7", "192.0.2.1", 40000, 80))
	b.ReportAllocs()
	for b.Loop() {
		if why, err := o.Judge(f); why != SteeredService || err != nil {
			b.Fatal(why, err)
		}
	}
}

// TestExplain: what the program looked for is told, as people write it.
func TestExplain(t *testing.T) {
	o, err := NewOffline()
	if err != nil {
		t.Fatal(err)
	}
	web := netip.MustParseAddr("192.0.2.10")
	plan, err := NewPlan(Steering{
		Services: []Service{{Address: web, Protocol: TCP, First: 80, Last: 80}},
		MACs:     [][6]byte{{2, 0, 0, 0, 0, 2}}, MoreMACs: [][][6]byte{{{2, 0, 0, 0, 0, 3}}},
	}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range []Reason{SteeredService, Passed} {
		if err := o.ApplyAt(plan, port); err != nil {
			t.Fatal(err)
		}
		why, entries, err := o.Explain(packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", 2).Bytes())
		if why != want || err != nil {
			t.Errorf("by port %d: %v, %v", port, why, err)
		}
		services := Entry{Map: "services", Key: "192.0.2.10 protocol 6 ports 80 to 80", Found: true}
		addresses := Entry{Map: "addresses", Key: "192.0.2.10", Found: true}
		if ok := slices.Contains(entries, services) && slices.Contains(entries, addresses); ok != (want != Passed) {
			t.Errorf("by port %d: %+v", port, entries)
		}
	}
}

package engine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// What is too big for its way, whole packets and fragments, is cut if it may be, in every
// mode, and is the same packet when it is put together; nothing of it is lost or counted
// twice.
func TestCut(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR} {
		for _, n := range []int{1400, 1472, 5000} {
			for _, affinity := range []balancer.Affinity{balancer.AffinityFlow, balancer.AffinityNone} {
				if affinity == balancer.AffinityNone && mode == balancer.FullNAT {
					continue // which has no flows of that kind
				}
				for name, sort := range map[string]func([][]byte){"in order": func([][]byte) {}, "backwards": slices.Reverse[[][]byte]} {
					t.Run(fmt.Sprint(mode, n, affinity, name), func(t *testing.T) {
						s := datagramService("dns", "192.0.2.10:53", mode, 1)
						if mode == balancer.FullNAT {
							s = fullnatService("dns", "192.0.2.10:53", 1, 100)
							s.Protocol = balancer.UDP
						}
						s.Affinity = affinity
						h := newHarness(t, 2, s)
						h.narrow(&s, 1300)
						in := big(client4, "192.0.2.10:53", n, 1)
						list := packettest.Fragments(in.Bytes(), 0, 1480)
						sort(list)
						out := h.spread(list, func(i int) int { return i % 2 })
						for _, b := range out {
							if len(b) > 14+1300 {
								t.Errorf("a frame of %d bytes", len(b))
							}
						}
						if got := assembled(t, out); !bytes.Equal(got.Payload, in.Payload) || len(out) <= len(list) {
							t.Errorf("%d frames became %d, of another packet", len(list), len(out))
						}
						if n := h.counted(packet.Forwarded); n != uint64(len(out)) || h.engine.fragments.Held() != 0 {
							t.Errorf("%d of %d are forwarded, %d are held", n, len(out), h.engine.fragments.Held())
						}
						// The next one may have the same name.
						in = big(client4, "192.0.2.10:53", n, 1)
						if got := assembled(t, h.spread(packettest.Fragments(in.Bytes(), 0, 1480), func(i int) int { return i % 2 })); !bytes.Equal(got.Payload, in.Payload) {
							t.Error("the next one is another packet")
						}
					})
				}
			}
		}
	}
}

// Unfinished checksums are finished before: of a piece nobody could.
func TestCutUnfinished(t *testing.T) {
	s := datagramService("dns", "192.0.2.10:53", balancer.NAT, 1)
	h := newHarness(t, 1, s)
	h.narrow(&s, 1300)
	in := big(client4, "192.0.2.10:53", 1400, 1)
	b := in.Bytes()
	copy(b[40:42], partial(b))
	if got := assembled(t, h.passRaw(0, b)); !bytes.Equal(got.Payload, in.Payload) {
		t.Error("it became another packet")
	}
}

// partial returns what a sender leaves in the checksum of an IPv4 datagram for hardware to
// finish: the sum of the pseudo-header.
func partial(b []byte) []byte {
	pseudo := append(bytes.Clone(b[26:34]), 0, 17, b[38], b[39])
	sum := packettest.Sum(pseudo)
	return []byte{byte(sum >> 8), byte(sum)}
}

// With no room for the pieces it is dropped as what it is.
func TestCutWithoutRoom(t *testing.T) {
	s := datagramService("dns", "192.0.2.10:53", balancer.DSR, 1)
	h := newHarness(t, 1, s)
	h.narrow(&s, 1300)
	w := h.engine.workers[0]
	stuck := make([]byte, 1000)
	for w.parts.Ready.Room() >= 1000 {
		copy(w.parts.Ready.Push(1000, 7), stuck) // of a port that nobody serves
	}
	h.dropped(0, big(client4, "192.0.2.10:53", 1400, 1), packet.DropTooBig)
}

// A way may take less than the smallest of fragments: nothing is cut for ever.
func TestCutToNothing(t *testing.T) {
	ways := map[string]struct {
		s   balancer.ServiceSpec
		mtu uint16
	}{
		"nat":              {datagramService("dns", "192.0.2.10:53", balancer.NAT, 1), 60},
		"a narrow tunnel":  {tunnelService("192.0.2.10:53", balancer.IPIP, 1, own4), 80},
		"another family's": {mixedService("192.0.2.10:53", packet.ProtoUDP), 90},
	}
	for name, c := range ways {
		t.Run(name, func(t *testing.T) {
			c.s.Protocol = balancer.UDP
			h := newHarness(t, 1, c.s)
			a := c.s.Backends[0].Address
			hop := h.facts.NextHops[a]
			hop.Link.MTU = c.mtu
			h.facts.NextHops[a] = hop
			h.apply()
			k, w := h.kernels[0], h.engine.workers[0]
			w.socket.Recycle()
			k.Deliver(big(client4, "192.0.2.10:53", 100, 1).Bytes())
			for n := 0; ; n++ {
				if size, err := w.pass(); err != nil || size == 0 {
					break
				}
				if n == 100 {
					t.Fatalf("it goes on for ever: %v", h.verdicts(0))
				}
			}
			h.check(0)
			if h.counted(packet.DropTooBig) == 0 {
				t.Errorf("verdicts %v", h.verdicts(0))
			}
		})
	}
}

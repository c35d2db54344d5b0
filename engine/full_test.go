package engine

import (
	"fmt"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// bounded is a service whose backends may have n connections each.
func bounded(mode balancer.Mode, backends int, n uint32) balancer.ServiceSpec {
	s := service("web", vip4, mode, backends)
	for i := range s.Backends {
		s.Backends[i].MaxConns = n
	}
	return s
}

// handshake is a connection that is to be.
type handshake struct {
	*harness
	client string
	out    packettest.Frame // the SYN, as it left
}

// begin sends the SYN of the n-th client, which must leave.
func (h *harness) begin(n int) *handshake {
	h.t.Helper()
	client := fmt.Sprintf("198.51.100.%d:%d", 10+n%200, 20000+n)
	return &handshake{h, client, h.one(n%len(h.kernels), synOf(client))}
}

func synOf(client string) packettest.Frame {
	f := packettest.TCP(client, vip4, packet.TCPSyn)
	f.Seq = 1000
	return f
}

// agree has the backend answer the SYN.
func (s *handshake) agree() *handshake {
	s.t.Helper()
	f := packettest.TCP(s.out.Dst.String(), s.out.Src.String(), packet.TCPSyn|packet.TCPAck)
	f.Seq, f.Ack = 5000, 1001
	s.one(0, f)
	return s
}

// ack is the client's answer to that.
func (s *handshake) ack() packettest.Frame {
	f := packettest.TCP(s.client, vip4, packet.TCPAck)
	f.Seq, f.Ack = 1001, 5001
	return f
}

// reset has the backend end the connection.
func (s *handshake) reset() {
	s.t.Helper()
	f := packettest.TCP(s.out.Dst.String(), s.out.Src.String(), packet.TCPRst|packet.TCPAck)
	f.Seq, f.Ack = 5001, 1001
	s.one(0, f)
}

// connects opens a connection that must be had, and returns it.
func (h *harness) connects(n int) *handshake {
	h.t.Helper()
	s := h.begin(n)
	if h.spec.Services[0].Mode.Traits().RepliesReturn {
		s.agree()
	}
	h.one(1%len(h.kernels), s.ack())
	return s
}

// Backends take as many connections as they may have, over all workers, and no more; those
// that they have go on, and each that ends makes room.
func TestMaxConns(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for _, a := range []balancer.Algorithm{balancer.RoundRobin, balancer.LeastConn, balancer.Maglev} {
			s := bounded(mode, 2, 3)
			s.Algorithm = a
			h := newHarness(t, 2, s)
			var all []*handshake
			for n := range 6 {
				all = append(all, h.connects(n))
			}
			for n := range 4 {
				h.refused(synOf(fmt.Sprintf("203.0.113.9:%d", 30000+n)))
			}
			for _, c := range all {
				h.one(1, c.ack())
			}
			for id := range uint32(2) {
				if n := h.engine.config.Loads.Established(id); n != 3 {
					t.Errorf("%v, %v: backend %d has %d connections, want 3", mode, a, id, n)
				}
			}
			if mode == balancer.NAT {
				all[2].reset()
				h.connects(100)
				h.refused(synOf("203.0.113.9:31000"))
			}
		}
	}
}

// Who can't have the backend that has room, since his port is taken there, finds the others full.
func TestFullBesideAClash(t *testing.T) {
	web, other := bounded(balancer.NAT, 2, 2), service("other", "192.0.2.10:81", balancer.NAT, 1)
	web.Backends[1].MaxConns = 1
	h := newHarness(t, 1, web, other)
	h.one(0, packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn))
	h.connects(0)
	h.connects(1)
	h.refused(synOf(client4))
	if c := &h.engine.workers[0].count; c.Full != 1 {
		t.Errorf("%d connections are counted that found all full", c.Full)
	}
}

// Clients hear nothing where that is asked for.
func TestMaxConnsAndDrop(t *testing.T) {
	s := bounded(balancer.NAT, 1, 1)
	s.OnNoBackend = balancer.DropSilently
	h := newHarness(t, 1, s)
	h.connects(1)
	h.dropped(0, synOf(client4), packet.DropBackendFull)
}

// SYNs with false sources, however many, keep nobody out, and let nobody in for whom there is
// no room.
func TestForgedSYNsDoNotFillABackend(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		h := newHarness(t, 2, bounded(mode, 2, 2))
		for n := range 100 {
			h.begin(n)
		}
		for n := range 4 {
			h.connects(1000 + n)
		}
		h.refused(synOf("203.0.113.9:31000"))
	}
}

// Of a crowd that begins at one moment, only so many get through as there is room for: who
// comes last is told so, or can go on when there is room.
func TestHandshakesThatComeTooLate(t *testing.T) {
	for _, silent := range []balancer.OnNoBackend{balancer.Reject, balancer.DropSilently} {
		s := bounded(balancer.NAT, 1, 2)
		s.OnNoBackend = silent
		h := newHarness(t, 2, s)
		var crowd []*handshake
		for n := range 5 {
			crowd = append(crowd, h.begin(n).agree())
		}
		h.one(0, crowd[0].ack())
		h.one(1, crowd[1].ack())
		late := crowd[2].ack()
		if silent == balancer.Reject {
			h.refused(late)
			if n := h.engine.flows.Stats().Total(); n != 4 {
				t.Errorf("%d flows are left, want 4", n)
			}
		} else {
			h.dropped(0, late, packet.DropBackendFull)
		}
		if n := h.engine.config.Loads.Established(0); n != 2 {
			t.Errorf("%v: %d connections of 2", silent, n)
		}
		crowd[0].reset()
		h.one(0, crowd[3].ack())
		if n := h.engine.config.Loads.Established(0); n != 2 {
			t.Errorf("%v: %d connections of 2 when one has ended", silent, n)
		}
	}
}

// What came in mid-stream is no new connection: it was there before the balancer.
func TestMaxConnsLetsMidstreamPass(t *testing.T) {
	h := newHarness(t, 1, bounded(balancer.NAT, 1, 1))
	h.connects(1)
	f := packettest.TCP(client4, vip4, packet.TCPAck)
	f.Seq, f.Ack = 700, 900
	out := h.one(0, f)
	back := packettest.TCP(out.Dst.String(), client4, packet.TCPAck)
	back.Seq, back.Ack = 900, 700
	h.one(0, back)
	h.one(0, f)
	if n := h.engine.config.Loads.Established(0); n != 2 {
		t.Errorf("%d connections", n)
	}
	h.refused(synOf("203.0.113.9:31000"))
}

// A client that stays with a backend goes to another one while that is full, and stays there.
func TestPersistentClientsOfAFullBackend(t *testing.T) {
	s := persistent("web", vip4, "", balancer.NAT)
	for i := range s.Backends {
		s.Backends[i].MaxConns = 2
	}
	h := newHarness(t, 1, s)
	var seen []string
	for n := range 4 {
		c := &handshake{h, fmt.Sprintf("198.51.100.7:%d", 20000+n), packettest.Frame{}}
		c.out = h.one(0, synOf(c.client))
		h.one(0, c.agree().ack())
		seen = append(seen, target(t, &s, c.out))
	}
	if seen[0] != seen[1] || seen[1] == seen[2] || seen[2] != seen[3] {
		t.Errorf("connections of one client went to %q", seen)
	}
}

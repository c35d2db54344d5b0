package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

var (
	router1, router2 = packet.MAC{2, 0, 0, 0, 1, 1}, packet.MAC{2, 0, 0, 0, 1, 2}
	strangerMAC      = packet.MAC{2, 0, 0, 0, 6, 6}
)

// connection is a TCP connection of client4, or client6, to a service.
type connection struct {
	*harness
	client, vip, backend string
	seq, ack             uint32 // what the client sends next, and expects
}

// connect opens one, by the client's MAC address.
func (h *harness) connect(client, vip string, mac packet.MAC) *connection {
	h.t.Helper()
	c := &connection{harness: h, client: client, vip: vip, seq: 1000, ack: 5001}
	syn := from(mac, packettest.TCP(client, vip, packet.TCPSyn))
	syn.Seq = c.seq
	c.backend = h.one(0, syn).Dst.String()
	c.seq++
	answer := packettest.TCP(c.backend, client, packet.TCPSyn|packet.TCPAck)
	answer.Seq, answer.Ack = 5000, c.seq
	h.one(0, answer)
	h.one(0, from(mac, c.request(packet.TCPAck)))
	return c
}

// request is the client's next segment.
func (c *connection) request(flags uint8) packettest.Frame {
	f := packettest.TCP(c.client, c.vip, flags)
	f.Seq, f.Ack = c.seq, c.ack
	return f
}

// reply is the backend's next segment.
func (c *connection) reply(flags uint8) packettest.Frame {
	f := packettest.TCP(c.backend, c.client, flags)
	f.Seq, f.Ack = c.ack, c.seq
	return f
}

// mustReply holds to whom replies go.
func (c *connection) mustReply(to packet.MAC, when string) {
	c.t.Helper()
	if back := c.one(0, c.reply(packet.TCPAck)); back.DstMAC != to {
		c.t.Errorf("%s: the reply went to %v, want %v", when, back.DstMAC, to)
	}
}

// Replies follow a router that takes over, by the client's next segment; a forged one from
// a stranger changes nothing.
func TestRepliesFollowTheConnection(t *testing.T) {
	h := newHarness(t, 1, service("web4", vip4, balancer.NAT, 1), service("web6", vip6, balancer.NAT, 1))
	for client, vip := range map[string]string{client4: vip4, client6: vip6} {
		c := h.connect(client, vip, router1)
		c.mustReply(router1, "at first")
		for _, flags := range []uint8{packet.TCPAck, packet.TCPSyn, packet.TCPRst, packet.TCPFin | packet.TCPAck, packet.TCPSyn | packet.TCPAck, 0} {
			forged := from(strangerMAC, c.request(flags))
			forged.Seq += 1 << 30
			h.pass(0, forged)
			forged = from(strangerMAC, c.request(flags))
			forged.Ack -= 1 << 30
			h.pass(0, forged)
			c.mustReply(router1, "after a forged segment")
		}
		h.one(0, from(router2, c.request(packet.TCPAck)))
		c.mustReply(router2, "after the client's own")
		h.one(0, from(router1, c.request(packet.TCPAck)))
		c.mustReply(router1, "by either of two routers")
	}
}

// Of UDP nothing proves itself: replies move between routers only.
func TestRepliesOfUDPFollowRouters(t *testing.T) {
	s := service("dns", "192.0.2.10:53", balancer.NAT, 1)
	s.Protocol, s.Backends[0].Port = balancer.UDP, 53
	h := newHarness(t, 1, s)
	h.facts.Gateways = []balancer.Station{{MAC: router1}, {MAC: router2}}
	h.apply()
	mustReply := func(client string, to packet.MAC) {
		t.Helper()
		if back := h.one(0, packettest.UDP("10.0.0.11:53", client, "answer")); back.DstMAC != to {
			t.Errorf("the reply to %s went to %v, want %v", client, back.DstMAC, to)
		}
	}
	request := func(client string, mac packet.MAC) {
		h.one(0, from(mac, packettest.UDP(client, "192.0.2.10:53", "request")))
	}
	request(client4, router1)
	for _, c := range []struct{ from, to packet.MAC }{{strangerMAC, router1}, {router2, router2}, {strangerMAC, router2}, {router1, router1}} {
		request(client4, c.from)
		mustReply(client4, c.to)
	}
	const onLink = "198.51.100.8:4000"
	request(onLink, packettest.ClientMAC)
	request(onLink, router1) // who speaks for somebody on the link is a stranger, too
	mustReply(onLink, packettest.ClientMAC)
}

// A stranger's SYN before the client's own does not keep the client from its answer.
func TestRepliesOfAHandshakeFollowTheLastSYN(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	h.one(0, from(strangerMAC, packettest.TCP(client4, vip4, packet.TCPSyn)))
	c := h.connect(client4, vip4, packettest.ClientMAC)
	c.mustReply(packettest.ClientMAC, "after the handshake")
}

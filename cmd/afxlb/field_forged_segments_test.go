package main

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// quickClosing makes connections that are over go soon: what would take a minute with the
// defaults takes a second here.
const quickClosing = "conntrack: {timeouts: {tcp-closing: 200ms}}\n"

// silence waits until connections that are over have been forgotten: one that ends now is.
func (w *world) silence(p *process) {
	w.t.Helper()
	last := w.openTalk(natVIP4)
	port := last.client().Port()
	last.Close()
	deadline := time.Now().Add(patience)
	for {
		flows, err := p.api.Flows(w.t.Context(), api.FlowFilter{Service: "nat4"})
		if err != nil {
			w.t.Fatal(err)
		}
		known := false
		for _, f := range flows {
			known = known || netip.MustParseAddrPort(f.Client).Port() == port
		}
		if !known {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("a connection that was closed is still known: %+v", flows)
		}
		time.Sleep(poll)
	}
}

// states counts the flows by service and state.
func (p *process) states() map[string]int {
	p.t.Helper()
	flows, err := p.api.Flows(p.t.Context(), api.FlowFilter{Limit: 100_000})
	if err != nil {
		p.t.Fatal(err)
	}
	by := map[string]int{}
	for _, f := range flows {
		by[f.Service+" "+f.State]++
	}
	return by
}

// segment is one of a stranger, whose numbers are wrong. It claims to be from the client,
// or from the backend.
type segment struct {
	backend  bool
	flags    uint8
	seq, ack uint32
}

func (w *world) forge(c *cable, t *talk, s segment) {
	w.t.Helper()
	from, to := []netip.AddrPort{t.client()}, netip.AddrPortFrom(t.vip, streamPort)
	if s.backend { // it does not know which
		from, to = nil, t.client()
		for i := range w.lab.Backends {
			from = append(from, netip.AddrPortFrom(backendAddr(i, t.vip), streamPort))
		}
	}
	for _, src := range from {
		f := packettest.TCP(src.String(), to.String(), s.flags)
		f.Seq, f.Ack = s.seq, s.ack
		c.send(f)
	}
}

// C22: a stranger on the link, who knows the addresses and ports of connections but not
// their sequence numbers, can end none of them, neither at once nor for the time when both
// ends are silent. What really ends them does.
func TestFieldForgedSegments(t *testing.T) {
	const rstAck, finAck = packet.TCPRst | packet.TCPAck, packet.TCPFin | packet.TCPAck
	rst, syn := segment{flags: packet.TCPRst, seq: 12345}, segment{flags: packet.TCPSyn, seq: 777}
	attacks := map[string][]segment{
		"RST":          {rst},
		"SYN":          {syn},
		"RST, SYN":     {rst, syn},
		"RST with ACK": {{flags: rstAck, seq: 12345, ack: 54321}, syn},
		"a whole connection": {syn, {flags: packet.TCPAck, seq: 778, ack: 1}, {flags: packet.TCPAck, seq: 778, ack: 1},
			{flags: packet.TCPRst, seq: 778}, syn},
		"FINs of both": {{flags: finAck, seq: 12345, ack: 1}, {backend: true, flags: finAck, seq: 54321, ack: 12346},
			{flags: finAck, seq: 12345, ack: 1}},
		"RST of the backend": {{backend: true, flags: packet.TCPRst, seq: 12345}, syn},
		"ACKs and RSTs of both": {{flags: packet.TCPAck, seq: 12345, ack: 54321}, {backend: true, flags: packet.TCPAck, seq: 54321, ack: 12345},
			rst, {backend: true, flags: packet.TCPRst, seq: 54321}, syn},
	}
	w := newWorld(t)
	w.listenStreams()
	if err := w.lab.AddSecond(1); err != nil {
		t.Fatal(err)
	}
	config := w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), streamService("dsr6", dsrVIP6, "dsr", "health: {type: none},"), quickClosing)
	p := w.serve(config)
	c := w.openCable(w.lab.Second)
	vips := []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6}
	type attacked struct {
		*talk
		by string
	}
	var talks []attacked
	for what, segments := range attacks {
		for _, vip := range vips {
			for range 3 { // each to another backend
				one := w.openTalk(vip)
				talks = append(talks, attacked{one, what})
				for _, s := range segments {
					if vip == dsrVIP4 || vip == dsrVIP6 {
						s.backend = false
					}
					w.forge(c, one, s)
				}
			}
		}
	}
	for round := range 2 {
		w.silence(p)
		for i, one := range talks {
			if err := converse(one); err != nil {
				t.Errorf("round %d, connection %d to %v: after %s of a stranger: %v", round, i, one.vip, one.by, err)
			}
		}
	}
	if t.Failed() {
		return
	}
	each := 3 * len(attacks)
	states := p.states()
	for _, which := range []string{"nat4 tcp-established", "nat6 tcp-established", "dsr4 tcp-one-sided", "dsr6 tcp-one-sided"} {
		if states[which] != each {
			t.Errorf("%d flows are %s, want %d: %v", states[which], which, each, states)
		}
	}
	for i, one := range talks {
		if i%2 == 0 { // an abort: unread data, or none, and no FIN
			if err := one.Conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		one.Close()
	}
	for _, which := range []string{"nat4 tcp-established", "nat6 tcp-established", "dsr4 tcp-one-sided", "dsr6 tcp-one-sided"} {
		p.await("have no flow that is "+which, func(api.Status) bool { return p.states()[which] == 0 })
	}
	p.stop()
}

// Two packets with a false source make a flow of a dsr service, of which nobody will ever
// hear again. A flood of them that fills the table ends no connection that is known to be
// one.
func TestFieldFloodOfOneSidedFlows(t *testing.T) {
	const maxFlows, connections, flood = 1000, 60, 4000
	w := newWorld(t)
	w.listenStreams()
	if err := w.lab.AddSecond(1); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), service("udp", dsrVIP4, "dsr", "udp", "health: {type: none},"),
		fmt.Sprintf("conntrack: {max-flows: %d}\n", maxFlows)))
	var talks []*talk
	for range connections {
		talks = append(talks, w.openTalk(natVIP4))
	}
	c := w.openCable(w.lab.Second)
	for i := range flood {
		src := netip.AddrPortFrom(lab.ClientAddr(100+i%100), uint16(1024+i/100)).String()
		tcp, udp := netip.AddrPortFrom(dsrVIP4, streamPort).String(), netip.AddrPortFrom(dsrVIP4, port).String()
		datagram := packettest.UDP(src, udp, "")
		c.send(packettest.TCP(src, tcp, packet.TCPSyn), packettest.TCP(src, tcp, packet.TCPAck), datagram, datagram)
	}
	p.await("have turned its table over", func(s api.Status) bool { return s.Flows.EvictedEstablished > 2*maxFlows })
	for i, one := range talks {
		if err := converse(one); err != nil {
			t.Errorf("connection %d of %d: %v", i, connections, err)
		}
	}
	if n := p.states()["nat4 tcp-established"]; n != connections {
		t.Errorf("%d of %d connections are known", n, connections)
	}
	p.stop()
}

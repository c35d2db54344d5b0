package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// quickClosing makes connections that are over go soon: what would take a minute with the
// defaults takes a second here.
const quickClosing = "conntrack: {timeouts: {tcp-closing: 200ms}}\n"

// talk is an idle connection to an echo server.
type talk struct {
	net.Conn
	vip  netip.Addr
	what string // was done to it
}

// client returns the client's end.
func (c *talk) client() netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }

func (w *world) openTalk(vip netip.Addr, what string) *talk {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(vip, streamPort).String())
	if err != nil {
		w.t.Fatalf("connect to %v: %v", vip, err)
	}
	w.t.Cleanup(func() { c.Close() })
	var name string
	if _, err := fmt.Fscanln(c, &name); err != nil {
		w.t.Fatalf("read who is at %v: %v", vip, err)
	}
	return &talk{Conn: c, vip: vip, what: what}
}

// echo says something and expects to hear it.
func (c *talk) echo() error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("!")); err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err := io.ReadFull(c, b)
	return err
}

// silence waits until connections that are over have been forgotten: one that ends now is.
func (w *world) silence(p *process) {
	w.t.Helper()
	last := w.openTalk(natVIP4, "closed")
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
	backend bool
	layers.TCP
}

func (w *world) forge(c *cable, t *talk, s segment) {
	w.t.Helper()
	src, dst := t.client(), netip.AddrPortFrom(t.vip, streamPort)
	list := []netip.AddrPort{src}
	if s.backend { // it does not know which
		list = nil
		for i := range w.lab.Backends {
			a := lab.BackendAddr(i)
			if t.vip.Is6() {
				a = lab.BackendAddr6(i)
			}
			list = append(list, netip.AddrPortFrom(a, streamPort))
		}
		dst = t.client()
	}
	for _, src := range list {
		tcp := s.TCP
		tcp.SrcPort, tcp.DstPort, tcp.Window = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port()), 64000
		c.send(c.to, src.Addr(), dst.Addr(), layers.IPProtocolTCP, &tcp)
	}
}

// C22: a stranger on the link, who knows the addresses and ports of connections but not
// their sequence numbers, can end none of them, neither at once nor for the time when both
// ends are silent. What really ends them does.
func TestFieldForgedSegments(t *testing.T) {
	rst, syn := segment{TCP: layers.TCP{RST: true, Seq: 12345}}, segment{TCP: layers.TCP{SYN: true, Seq: 777}}
	attacks := map[string][]segment{
		"RST":          {rst},
		"SYN":          {syn},
		"RST, SYN":     {rst, syn},
		"RST with ACK": {{TCP: layers.TCP{RST: true, ACK: true, Seq: 12345, Ack: 54321}}, syn},
		"a whole connection": {syn, {TCP: layers.TCP{ACK: true, Seq: 778, Ack: 1}},
			{TCP: layers.TCP{ACK: true, Seq: 778, Ack: 1}}, {TCP: layers.TCP{RST: true, Seq: 778}}, syn},
		"FINs of both": {{TCP: layers.TCP{FIN: true, ACK: true, Seq: 12345, Ack: 1}},
			{backend: true, TCP: layers.TCP{FIN: true, ACK: true, Seq: 54321, Ack: 12346}}, {TCP: layers.TCP{FIN: true, ACK: true, Seq: 12345, Ack: 1}}},
		"RST of the backend": {{backend: true, TCP: layers.TCP{RST: true, Seq: 12345}}, syn},
		"ACKs and RSTs of both": {{TCP: layers.TCP{ACK: true, Seq: 12345, Ack: 54321}}, {backend: true, TCP: layers.TCP{ACK: true, Seq: 54321, Ack: 12345}},
			rst, {backend: true, TCP: layers.TCP{RST: true, Seq: 54321}}, syn},
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
	var talks []*talk
	for what, segments := range attacks {
		for _, vip := range vips {
			for range 3 { // each to another backend
				one := w.openTalk(vip, what)
				talks = append(talks, one)
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
			if err := one.echo(); err != nil {
				t.Errorf("round %d, connection %d to %v: after %s of a stranger: %v", round, i, one.vip, one.what, err)
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

// C21: a client has said all that it has to say, and the server thinks for longer than a
// connection that is over is remembered. Its answer arrives, whatever a stranger sends
// meanwhile.
func TestFieldHalfClosed(t *testing.T) {
	const answer = 200_000
	w := newWorld(t)
	thought := make(chan struct{})
	for i, h := range w.lab.Backends {
		err := h.ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
			fmt.Fprintf(c, "b%d\n", i)
			if n, err := io.Copy(io.Discard, c); err != nil || n == 0 {
				return // a check, or a connection that was reset
			}
			select {
			case <-thought:
				_, _ = io.CopyN(c, new(lab.Stream), answer) // the client tells
			case <-t.Context().Done():
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.lab.AddSecond(1); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), streamService("dsr6", dsrVIP6, "dsr", "health: {type: none},"), quickClosing))
	c := w.openCable(w.lab.Second)
	var talks []*talk
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		for _, attack := range [][]segment{nil, {{TCP: layers.TCP{RST: true, Seq: 12345}}}, {{TCP: layers.TCP{SYN: true, Seq: 777}}}} {
			for range 3 {
				one := w.openTalk(vip, fmt.Sprint(len(attack), " forged segments"))
				if _, err := one.Write([]byte("a question")); err != nil {
					t.Fatal(err)
				}
				if err := one.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				talks = append(talks, one)
				for _, s := range attack {
					w.forge(c, one, s)
				}
			}
		}
	}
	w.silence(p)
	// Those without a stranger's SYN at the least.
	p.await("see the clients' FINs", func(api.Status) bool { return p.states()["dsr4 tcp-fin-wait"] >= 6 })
	close(thought)
	for _, one := range talks {
		if err := one.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, one); err != nil || n != answer {
			t.Errorf("%v, %s: %d of %d bytes arrived: %v", one.vip, one.what, n, answer, err)
		}
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
		talks = append(talks, w.openTalk(natVIP4, "flood"))
	}
	c := w.openCable(w.lab.Second)
	for i := range flood {
		src, srcPort := lab.ClientAddr(100+i%100), 1024+i/100
		c.send(c.to, src, dsrVIP4, layers.IPProtocolTCP, &layers.TCP{SrcPort: layers.TCPPort(srcPort), DstPort: streamPort, SYN: true, Seq: 1})
		c.send(c.to, src, dsrVIP4, layers.IPProtocolTCP, &layers.TCP{SrcPort: layers.TCPPort(srcPort), DstPort: streamPort, ACK: true, Seq: 2, Ack: 1})
		for range 2 {
			c.send(c.to, src, dsrVIP4, layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: port})
		}
	}
	p.await("have turned its table over", func(s api.Status) bool { return s.Flows.EvictedEstablished > 2*maxFlows })
	for i, one := range talks {
		if err := one.echo(); err != nil {
			t.Errorf("connection %d of %d: %v", i, connections, err)
		}
	}
	if n := p.states()["nat4 tcp-established"]; n != connections {
		t.Errorf("%d of %d connections are known", n, connections)
	}
	p.stop()
}

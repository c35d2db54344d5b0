package main

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// C26b: a stranger on the link, who knows a connection's addresses and ports, diverts and
// ends nothing. The client that moves to another MAC address takes the replies along.
func TestFieldForgedMAC(t *testing.T) {
	w := newWorld(t)
	stranger := w.openCable(w.lab.Backends[2])
	w.listenTicks()
	p := w.serve(w.writeConfig("afxlb.yaml", tickServices()))
	list := w.hear(w.lab.Clients[0], "tcp")
	w.mustHear("before", list)
	for _, flags := range []uint8{packet.TCPAck, packet.TCPRst, packet.TCPSyn, packet.TCPFin | packet.TCPAck, packet.TCPRst | packet.TCPAck} {
		for _, c := range list {
			for seq := range uint32(3) {
				f := packettest.TCP(c.LocalAddr().String(), c.RemoteAddr().String(), flags)
				f.Seq, f.Ack = seq<<30+12345, seq<<29+54321
				stranger.send(f)
			}
		}
		w.mustHear(fmt.Sprintf("after forged segments with flags %#x", flags), list)
	}
	if err := w.lab.Clients[0].SetMAC(lab.Interface, net.HardwareAddr{2, 0, 0, 0, 0xaa, 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if _, err := c.Write([]byte{'.'}); err != nil { // it does not say a word otherwise
			t.Fatal(err)
		}
	}
	w.mustHear("after the client's move", list)
	for _, c := range list {
		c.Close()
	}
	p.checkSums()
	p.stop()
}

// Datagrams prove nothing: who the replies go to stays as it is.
func TestFieldForgedDatagrams(t *testing.T) {
	w := newWorld(t)
	stranger := w.openCable(w.lab.Backends[2])
	p := w.serve(w.writeConfig("afxlb.yaml", service("dns4", natVIP4, "nat", "udp", "health: {type: none},"), service("dns6", natVIP6, "nat", "udp", "health: {type: none},")))
	w.listenDatagrams()
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		name := ask(t, c, "x")
		stranger.send(packettest.UDP(c.LocalAddr().String(), c.RemoteAddr().String(), "forged"))
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil || string(b[:n]) != name+" forged" {
			t.Errorf("%v: the client got %q, want the answer to what was forged: %v", vip, b[:n], err)
		}
	}
	p.checkSums()
	p.stop()
}

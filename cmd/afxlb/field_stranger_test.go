package main

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// send sends frames from a host to the balancer, whatever their source says.
func (w *world) send(h *lab.Host, frames ...packettest.Frame) {
	w.t.Helper()
	to, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		w.t.Fatal(err)
	}
	err = h.Do(func() error {
		from, err := net.InterfaceByName(lab.Interface)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			f.SrcMAC, f.DstMAC = packet.MAC(from.HardwareAddr), packet.MAC(to.Attrs().HardwareAddr)
			if err := unix.Sendto(fd, f.Bytes(), 0, &unix.SockaddrLinklayer{Ifindex: from.Index}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatalf("send frames on %s: %v", h.Name, err)
	}
}

// ticker is a connection on which only the server speaks, every few milliseconds.
type ticker struct {
	net.Conn
	t *testing.T
}

// openTicker has backend 0 serve one.
func (w *world) openTicker(vip netip.Addr) ticker {
	w.t.Helper()
	l, err := w.lab.Backends[0].Listen("tcp", fmt.Sprint(":", streamPort))
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	c, err := w.dialFrom(nil, netip.AddrPortFrom(vip, streamPort), patience)
	if err != nil {
		w.t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := server.Write([]byte{'.'}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	w.t.Cleanup(func() { c.Close(); server.Close(); <-ended })
	return ticker{c, w.t}
}

// mustTick holds that the client hears the server.
func (c ticker) mustTick(when string) {
	c.t.Helper()
	b := make([]byte, 100)
	for range 20 {
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			c.t.Fatal(err)
		}
		if _, err := c.Read(b); err != nil {
			c.t.Fatalf("%s: %v", when, err)
		}
	}
}

// C26b: a stranger on the link, who knows a connection's addresses and ports, diverts and
// ends nothing. The client that moves to another MAC address takes the replies along.
func TestFieldForgedMAC(t *testing.T) {
	w := newWorld(t)
	stranger := w.lab.Backends[2]
	p := w.serve(w.writeConfig("afxlb.yaml",
		streamService("web4", natVIP4, "nat", "health: {type: none},", fmt.Sprintf("{name: b0, address: %s}", lab.BackendAddr(0))),
		streamService("web6", natVIP6, "nat", "health: {type: none},", fmt.Sprintf("{name: b0, address: %q}", lab.BackendAddr6(0)))))
	var open []ticker
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		c := w.openTicker(vip)
		c.mustTick("before")
		for _, flags := range []uint8{packet.TCPAck, packet.TCPRst, packet.TCPSyn, packet.TCPFin | packet.TCPAck, packet.TCPRst | packet.TCPAck} {
			for seq := range uint32(3) {
				f := packettest.TCP(c.LocalAddr().String(), c.RemoteAddr().String(), flags)
				f.Seq, f.Ack = seq<<30+12345, seq<<29+54321
				w.send(stranger, f)
			}
			c.mustTick(fmt.Sprintf("after forged segments with flags %#x to %v", flags, vip))
		}
		open = append(open, c)
	}
	if err := w.lab.Clients[0].SetMAC(lab.Interface, net.HardwareAddr{2, 0, 0, 0, 0xaa, 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range open {
		if _, err := c.Write([]byte{'.'}); err != nil { // it does not say a word otherwise
			t.Fatal(err)
		}
		c.mustTick("after the client's move")
		c.Close()
	}
	p.checkSums()
	p.stop()
}

// Datagrams prove nothing: who the replies go to stays as it is.
func TestFieldForgedDatagrams(t *testing.T) {
	w := newWorld(t)
	stranger := w.lab.Backends[2]
	p := w.serve(w.writeConfig("afxlb.yaml", service("dns4", natVIP4, "nat", "udp", "health: {type: none},"), service("dns6", natVIP6, "nat", "udp", "health: {type: none},")))
	for i, h := range w.lab.Backends {
		if err := h.UDPEcho(fmt.Sprint(":", port), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		name := ask(t, c)
		w.send(stranger, packettest.UDP(c.LocalAddr().String(), c.RemoteAddr().String(), "forged"))
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

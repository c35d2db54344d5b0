package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// C13: a client uses one port for two services that share their only backend. Its replies
// could not be told apart, so the second connection is refused, at once.
func TestFieldOneClientPortForTwoServices(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	second4, second6 := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8:2::11")
	b0, b06 := fmt.Sprintf("{name: b0, address: %s}", lab.BackendAddr(0)), fmt.Sprintf("{name: b0, address: %q}", lab.BackendAddr6(0))
	udp := func(name string, vip netip.Addr) string {
		return fmt.Sprintf("  - {name: %s, address: %s, port: %d, protocol: udp, health: {type: none}, backends: [{address: %s}]}\n", name, vip, port, lab.BackendAddr(0))
	}
	p := w.serve(w.writeConfig("afxlb.yaml",
		streamService("one4", natVIP4, "nat", "", b0), streamService("two4", second4, "nat", "", b0),
		streamService("one6", natVIP6, "nat", "", b06), streamService("two6", second6, "nat", "", b06),
		udp("dns1", natVIP4), udp("dns2", second4)))
	for first, second := range map[netip.Addr]netip.Addr{natVIP4: second4, natVIP6: second6} {
		s := w.openStreams(1, first)
		at := s.list[0].local
		for range 3 {
			if c, err := w.dialFrom(at, netip.AddrPortFrom(second, streamPort), patience); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%v from %v, which has a connection to %v: %v, %v", second, at, first, c, err)
			}
		}
		s.mustLive("after connections from the same port")
		s.close()
	}
	w.mustRefuseDatagrams(natVIP4, second4)
	p.checkSums()
	p.stop()
}

// mustRefuseDatagrams holds that a client which has a flow to one service is told that it
// can have none to the other from the same port.
func (w *world) mustRefuseDatagrams(first, second netip.Addr) {
	w.t.Helper()
	if err := w.lab.Backends[0].UDPEcho(fmt.Sprint(":", port), "b0"); err != nil {
		w.t.Fatal(err)
	}
	one, err := w.lab.Clients[0].ListenPacket("udp", netip.AddrPortFrom(lab.ClientAddr(0), 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	mustAsk(w.t, one, netip.AddrPortFrom(first, port), "x", "b0")
	at := one.LocalAddr()
	one.Close() // the balancer still has its flow
	err = w.lab.Clients[0].Do(func() error {
		c, err := net.DialUDP("udp", at.(*net.UDPAddr), net.UDPAddrFromAddrPort(netip.AddrPortFrom(second, port)))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 100))
		return err
	})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Errorf("%v, from the port of a flow to %v: %v", second, first, err)
	}
}

// C24: a client that died, and is back on the same port, gets a new connection: by its
// backend, if that takes new ones, and by another one, if it drains.
func TestFieldPortReuseAfterADeath(t *testing.T) {
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		t.Run(vip.String(), func(t *testing.T) {
			w := newWorld(t)
			w.listenStreams()
			mode := "nat"
			if vip == dsrVIP4 || vip == dsrVIP6 {
				mode = "dsr"
			}
			weighed := func(drained string) string {
				var backends []string
				for i := range 3 {
					a, weight := lab.BackendAddr(i), 1
					if vip.Is6() {
						a = lab.BackendAddr6(i)
					}
					if fmt.Sprint("b", i) == drained {
						weight = 0
					}
					backends = append(backends, fmt.Sprintf("{name: b%d, address: %q, weight: %d}", i, a, weight))
				}
				return streamService("web", vip, mode, "", backends...)
			}
			config := w.writeConfig("afxlb.yaml", weighed(""))
			p := w.serve(config)
			first, at := w.dieHolding(vip, nil)
			if name, _ := w.dieHolding(vip, at); name == "" {
				t.Error("no connection from the same port")
			}
			w.writeConfig("afxlb.yaml", weighed(first))
			p.reload()
			// The record may be of another backend by now: then that one is not drained,
			// and the client dies once more.
			last, at := w.dieHolding(vip, at)
			w.writeConfig("afxlb.yaml", weighed(last))
			p.reload()
			if name, _ := w.dieHolding(vip, at); name == last || name == "" {
				t.Errorf("the client of %s, which drains, is back at %q", last, name)
			}
			p.checkSums()
			p.stop()
		})
	}
}

// C24, where the server has forgotten the connection too: it would take the client's new one,
// which it is not to get any more.
func TestFieldPortReuseAfterBothHaveForgotten(t *testing.T) {
	w := newWorld(t)
	held := w.holdConnections()
	modes := map[netip.Addr]string{natVIP4: "nat", natVIP6: "nat", dsrVIP4: "dsr", dsrVIP6: "dsr"}
	draining := map[netip.Addr]string{}
	write := func() string {
		var services []string
		for vip, mode := range modes {
			var backends []string
			for i := range 3 {
				a, name, weight := lab.BackendAddr(i), fmt.Sprint("b", i), 1
				if vip.Is6() {
					a = lab.BackendAddr6(i)
				}
				if draining[vip] == name {
					weight = 0
				}
				backends = append(backends, fmt.Sprintf("{name: %s, address: %q, weight: %d}", name, a, weight))
			}
			services = append(services, streamService("web-"+vip.String(), vip, mode, "health: {type: none},", backends...))
		}
		return w.writeConfig("afxlb.yaml", services...)
	}
	p := w.serve(write())
	for vip := range modes {
		open := func(at net.Addr) (c net.Conn, name string) {
			c, err := w.dialFrom(at, netip.AddrPortFrom(vip, streamPort), patience)
			if err == nil {
				_, err = fmt.Fscanln(c, &name)
			}
			if err != nil {
				t.Fatalf("connect to %v from %v: %v", vip, at, err)
			}
			return c, name
		}
		c, name := open(nil)
		draining[vip] = name
		server := <-held
		hosts := []*lab.Host{w.lab.Clients[0], w.lab.Backends[name[1]-'0']}
		for _, h := range hosts { // nobody hears of the end
			if err := w.lab.SetForwarding(h, false); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []net.Conn{c, server} {
			if err := c.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		for _, h := range hosts {
			if err := w.lab.SetForwarding(h, true); err != nil {
				t.Fatal(err)
			}
		}
		write()
		p.reload()
		again, now := open(c.LocalAddr())
		if now == name {
			t.Errorf("%v: the client of %s, which drains, is back there", vip, name)
		}
		again.Close()
		(<-held).Close()
	}
	p.checkSums()
	p.stop()
}

// holdConnections starts servers on the backends that say their name and do no more: each of
// their connections is the receiver's.
func (w *world) holdConnections() <-chan net.Conn {
	w.t.Helper()
	held := make(chan net.Conn, 1)
	for i, h := range w.lab.Backends {
		l, err := h.Listen("tcp", fmt.Sprint(":", streamPort))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "b%d\n", i)
				held <- c
			}
		}()
	}
	return held
}

// dieHolding opens a connection, from an address and port if they are given, and has the
// client die with it: nobody is told. It returns the backend, and from where it was.
func (w *world) dieHolding(vip netip.Addr, at net.Addr) (name string, local net.Addr) {
	w.t.Helper()
	c, err := w.dialFrom(at, netip.AddrPortFrom(vip, streamPort), patience)
	if err != nil {
		w.t.Fatalf("connect to %v from %v: %v", vip, at, err)
	}
	if _, err := fmt.Fscanln(c, &name); err != nil {
		w.t.Fatalf("read a connection's backend: %v", err)
	}
	if err := w.lab.SetForwarding(w.lab.Clients[0], false); err != nil {
		w.t.Fatal(err)
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil { // its RST goes nowhere
		w.t.Fatal(err)
	}
	local = c.LocalAddr()
	c.Close()
	if err := w.lab.SetForwarding(w.lab.Clients[0], true); err != nil {
		w.t.Fatal(err)
	}
	return name, local
}

// C24, second part: a stream of datagrams leaves a backend when its time to drain is over.
func TestFieldDatagramsLeaveADrainedBackend(t *testing.T) {
	for _, vip := range []netip.Addr{natVIP4, dsrVIP6} {
		t.Run(vip.String(), func(t *testing.T) {
			w := newWorld(t)
			mode := map[netip.Addr]string{natVIP4: "nat", dsrVIP6: "dsr"}[vip]
			for i, h := range w.lab.Backends {
				for _, a := range []netip.Addr{lab.BackendAddr(i), dsrVIP6} {
					if err := h.UDPEcho(netip.AddrPortFrom(a, port).String(), fmt.Sprint("b", i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			weighed := func(drained string) string {
				text := fmt.Sprintf("  - {name: dns, address: %q, port: %d, protocol: udp, mode: %s, drain-time: 200ms, health: {type: none}, backends: [", vip, port, mode)
				for i := range 3 {
					a, weight := lab.BackendAddr(i), 1
					if vip.Is6() {
						a = lab.BackendAddr6(i)
					}
					if fmt.Sprint("b", i) == drained {
						weight = 0
					}
					text += fmt.Sprintf("{name: b%d, address: %q, weight: %d}, ", i, a, weight)
				}
				return text + "]}\n"
			}
			p := w.serve(w.writeConfig("afxlb.yaml", weighed("")))
			c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			first := ask(t, c)
			w.writeConfig("afxlb.yaml", weighed(first))
			p.reload()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for ask(t, c) == first {
				if ctx.Err() != nil {
					t.Fatalf("the stream stays at %s", first)
				}
				time.Sleep(poll)
			}
			p.checkSums()
			p.stop()
		})
	}
}

// ask asks an echo server for its name.
func ask(t *testing.T, c net.Conn) (name string) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(b[:n]), &name); err != nil {
		t.Fatal(err)
	}
	return name
}

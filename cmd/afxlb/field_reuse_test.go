package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
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
		return entry(name, vip, port, "protocol: udp, health: {type: none},", b0)
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
	w.listenDatagrams()
	one, err := w.lab.Clients[0].ListenPacket("udp", netip.AddrPortFrom(lab.ClientAddr(0), 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	ask(w.t, unconnected{one, netip.AddrPortFrom(first, port)}, "x")
	at := one.LocalAddr()
	one.Close() // the balancer still has its flow
	err = w.lab.Clients[0].Do(func() error {
		c, err := net.DialUDP("udp", at.(*net.UDPAddr), net.UDPAddrFromAddrPort(netip.AddrPortFrom(second, port)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = question(c, "x")
		return err
	})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Errorf("%v, from the port of a flow to %v: %v", second, first, err)
	}
}

// drain returns the backends of a family, of which the one with this name gets no new
// connections.
func drain(vip netip.Addr, name string) []string {
	list := backendsOf(vip)
	for i, b := range list {
		if fmt.Sprint("b", i) == name {
			list[i] = strings.Replace(b, "}", ", weight: 0}", 1)
		}
	}
	return list
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
			weighed := func(drained string) string { return streamService("web", vip, mode, "", drain(vip, drained)...) }
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
				name, weight := fmt.Sprint("b", i), 1
				if draining[vip] == name {
					weight = 0
				}
				backends = append(backends, fmt.Sprintf("{name: %s, address: %q, weight: %d}", name, backendAddr(i, vip), weight))
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
		err := h.ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
			fmt.Fprintf(c, "b%d\n", i)
			held <- c
			_, _ = io.Copy(io.Discard, c) // until it is closed
		})
		if err != nil {
			w.t.Fatal(err)
		}
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
			w.listenDatagrams()
			weighed := func(drained string) string {
				keys := fmt.Sprintf("protocol: udp, mode: %s, drain-time: 200ms, health: {type: none},", mode)
				return entry("dns", vip, port, keys, drain(vip, drained)...)
			}
			p := w.serve(w.writeConfig("afxlb.yaml", weighed("")))
			c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			first := ask(t, c, "x")
			w.writeConfig("afxlb.yaml", weighed(first))
			p.reload()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for ask(t, c, "x") == first {
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

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// TestHTTP sends 10,000 requests over 50 connections through every mode, family and
// driver: none may fail, a connection stays with its backend, and round-robin is even
// to within one a worker.
func TestHTTP(t *testing.T) {
	w := newWorld(t)
	vips := map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6}
	config := w.writeConfig("afxlb.yaml",
		service("nat4", natVIP4, "nat", "tcp", ""), service("nat6", natVIP6, "nat", "tcp", ""),
		service("dsr4", dsrVIP4, "dsr", "tcp", ""), service("dsr6", dsrVIP6, "dsr", "tcp", ""))
	for _, driver := range []string{"native", "asavie"} {
		p := w.serve(config, "--driver", driver)
		if s := p.status(); s.Driver != driver || s.XDPMode != "native" || s.Bind != "copy" {
			t.Errorf("status says driver %s, XDP %s, bind %s", s.Driver, s.XDPMode, s.Bind)
		}
		for name, vip := range vips {
			t.Run(driver+"/"+name, func(t *testing.T) {
				by := w.connections(t, vip, 50, 200)
				for a, n := range by {
					for b, m := range by {
						if n-m > queues {
							t.Errorf("%s got %d connections, %s %d", a, n, b, m)
						}
					}
				}
				if len(by) != 3 {
					t.Errorf("answered by %v, want all three", by)
				}
			})
		}
		p.checkSums()
		if s := p.await("have used both queues", func(s api.Status) bool {
			return s.Workers[0].Forwarded > 0 && s.Workers[1].Forwarded > 0
		}); s.Flows.Inserted != 4*50 {
			t.Errorf("%d flows for 200 connections", s.Flows.Inserted)
		}
		p.stop()
	}
}

// connections sends requests over so many connections at once and returns how many
// connections each backend got.
func (w *world) connections(t *testing.T, vip netip.Addr, connections, requests int) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	by := map[string]int{}
	for range connections {
		wg.Go(func() {
			c, err := w.visit(vip)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			first := ""
			for i := range requests {
				name, err := c.ask()
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				if i == 0 {
					first = name
					mu.Lock()
					by[name]++
					mu.Unlock()
				} else if name != first {
					t.Errorf("a connection to %s got an answer of %s", first, name)
				}
			}
		})
	}
	wg.Wait()
	return by
}

// TestBigTransfer moves a GiB through nat, with the endpoints' usual offloads.
func TestBigTransfer(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "")))
	size := 1 << 30
	if testutil.Race {
		size = 1 << 26 // the same code, sixteen times as long
	}
	want := sha256.New()
	if _, err := io.Copy(want, io.LimitReader(&lab.Stream{}, int64(size))); err != nil {
		t.Fatal(err)
	}
	c := w.lab.Clients[0].HTTPClient(0, false)
	res, err := c.Get(url(natVIP4, fmt.Sprintf("/big?n=%d", size)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := sha256.New()
	n, err := io.Copy(got, res.Body)
	if err != nil || n != int64(size) || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes of %d, hash %x, want %x: %v", n, size, got.Sum(nil), want.Sum(nil), err)
	}
	p.checkSums()
	p.stop()
}

func TestUDP(t *testing.T) {
	w := newWorld(t)
	const none = "health: {type: none},"
	p := w.serve(w.writeConfig("afxlb.yaml",
		service("nat4", natVIP4, "nat", "udp", none), service("nat6", natVIP6, "nat", "udp", none),
		service("dsr4", dsrVIP4, "dsr", "udp", none), service("dsr6", dsrVIP6, "dsr", "udp", none)))
	w.listenDatagrams()
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		by := map[string]int{}
		for range 30 {
			by[w.askUDP(vip)]++
		}
		if len(by) != 3 {
			t.Errorf("%v: answered by %v, want all three", vip, by)
		}
	}
	p.checkSums()
	p.stop()
}

// TestPing has a client's kernel ask a service's address for an echo.
func TestPing(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "")))
	var c net.Conn
	err := w.lab.Clients[0].Do(func() (err error) {
		c, err = net.Dial("ip4:icmp", natVIP4.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'}
	sum := uint32(0)
	for i := 0; i < len(request); i += 2 {
		sum += uint32(request[i])<<8 | uint32(request[i+1])
	}
	sum = ^(sum&0xffff + sum>>16)
	request[2], request[3] = byte(sum>>8), byte(sum)
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || n < len(request) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	reply := b[n-len(request) : n] // without the IP header
	if reply[0] != 0 || !bytes.Equal(reply[4:], request[4:]) {
		t.Errorf("reply % x to % x", reply, request)
	}
	p.checkSums()
	p.stop()
}

func TestFailover(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	w.web[1].Kill()
	p.await("see the dead backend", func(s api.Status) bool { return s.Backends.Up == 2 })
	if by := w.mustAnswer(60, natVIP4); by["b1"] != 0 || len(by) != 2 {
		t.Errorf("with b1 dead, answered by %v", by)
	}
	if err := w.web[1].Start(); err != nil {
		t.Fatal(err)
	}
	p.await("see it return", func(s api.Status) bool { return s.Backends.Up == 3 })
	if by := w.mustAnswer(60, natVIP4); len(by) != 3 {
		t.Errorf("with b1 back, answered by %v", by)
	}

	for _, s := range w.web {
		s.Kill()
	}
	p.await("see all of them dead", func(s api.Status) bool { return s.Backends.Up == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(natVIP4, port).String())
	if err == nil {
		c.Close()
		t.Error("a connection without a backend")
	} else if ctx.Err() != nil {
		t.Errorf("no answer, want a refusal: %v", err)
	}
	p.checkSums()
	p.stop()
}

// TestGenericMode takes the slow road that every interface has.
func TestGenericMode(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "")), "--xdp-mode", "generic")
	if s := p.status(); s.XDPMode != "generic" || s.Bind != "copy" {
		t.Errorf("status says XDP %s, bind %s", s.XDPMode, s.Bind)
	}
	if by := w.mustAnswer(30, natVIP4); len(by) != 3 {
		t.Errorf("answered by %v, want all three", by)
	}
	p.checkSums()
	p.stop()
}

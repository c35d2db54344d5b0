package main

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// sinkPort is where backends count what comes.
const sinkPort = 7000

// wire counts at both ends of the balancer: the datagrams that a client has sent, and
// those that backends have got.
type wire struct {
	w    *world
	sent uint64
	got  atomic.Uint64
}

// newWire has all backends count, on their own addresses and those of dsr services.
func (w *world) newWire() *wire {
	w.t.Helper()
	x := &wire{w: w}
	for i, h := range w.lab.Backends {
		for _, a := range []netip.Addr{lab.BackendAddr(i), lab.BackendAddr6(i), dsrVIP4, dsrVIP6} {
			c, err := h.ListenPacket("udp", netip.AddrPortFrom(a, sinkPort).String())
			if err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 2000)
				for {
					if _, _, err := c.ReadFrom(b); err != nil {
						return
					}
					x.got.Add(1)
				}
			}()
		}
	}
	return x
}

// send sends n datagrams to an address, each from another port, with this TTL.
func (x *wire) send(to netip.Addr, n, ttl int) {
	x.w.t.Helper()
	for range n {
		c, err := x.w.lab.Clients[0].Dial(x.w.t.Context(), "udp", netip.AddrPortFrom(to, sinkPort).String())
		if err != nil {
			x.w.t.Fatal(err)
		}
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				if to.Is4() {
					_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, ttl)
				} else {
					_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, ttl)
				}
			})
		}
		if err == nil {
			_, err = c.Write([]byte("count me"))
		}
		if err != nil {
			x.w.t.Fatal(err)
		}
		x.sent++
		c.Close()
	}
}

// tally is what the counters say of packets.
type tally struct {
	received, forwarded, others uint64 // others: replied, punted and dropped
	unseen                      uint64 // lost before a worker, by whatever name
}

func (p *process) tally() (t tally) {
	p.t.Helper()
	list, err := p.api.Counters(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range list {
		switch {
		case c.Group == "packets" && c.Name == "received":
			t.received = c.Value
		case c.Group == "packets" && c.Name == "forwarded":
			t.forwarded = c.Value
		case c.Group == "packets":
			t.others += c.Value
		case c.Group == "steering" && c.Name == "dropped-no-socket",
			c.Group == "kernel" && (c.Name == "rx-dropped" || c.Name == "rx-ring-full" || c.Name == "rx-pieces"):
			t.unseen += c.Value
		}
	}
	return t
}

// mustAgree waits until the counters have seen all that was sent, and holds them against
// both ends.
func (x *wire) mustAgree(p *process, when string) {
	p.t.Helper()
	var t tally
	p.await(fmt.Sprintf("count %d packets %s", x.sent, when), func(api.Status) bool {
		t = p.tally()
		return t.received+t.unseen == x.sent && t.forwarded == x.got.Load()
	})
	if t.forwarded+t.others != t.received {
		p.t.Errorf("%s: of %d packets %d were forwarded, and %d have another verdict", when, t.received, t.forwarded, t.others)
	}
}

// What the client has sent came in by the counters, and what they call forwarded the
// backends have got; the rest has names. Each frame is accounted for.
func TestFieldCountersAgreeWithTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		rx, tx int
		args   []string
	}{
		"two queues":            {2, 2, nil},
		"a TX queue for three":  {3, 1, nil},
		"generic":               {2, 1, []string{"--xdp-mode", "generic"}},
		"driver asavie":         {2, 1, []string{"--driver", "asavie"}},
		"one queue of a list":   {3, 3, []string{"--queues", "1"}},
		"a list, and one sends": {3, 1, []string{"--queues", "2,0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.plug(3, c.rx, c.tx)
			sink := func(name string, vip netip.Addr, mode string, backends ...string) string {
				return entry(name, vip, sinkPort, fmt.Sprintf("protocol: udp, mode: %s, health: {type: none},", mode), backends...)
			}
			empty := netip.MustParseAddr("192.0.2.99")
			p := w.start(nil, append([]string{"--config", w.writeConfig("afxlb.yaml",
				sink("nat4", natVIP4, "nat", backendsOf(natVIP4)...), sink("nat6", natVIP6, "nat", backendsOf(natVIP6)...),
				sink("dsr4", dsrVIP4, "dsr", backendsOf(dsrVIP4)...), sink("dsr6", dsrVIP6, "dsr", backendsOf(dsrVIP6)...), sink("empty", empty, "nat"))}, c.args...)...)
			p.await("know the way to all", func(s api.Status) bool {
				list, err := p.api.Backends(t.Context(), "")
				known := err == nil && len(list) == 12
				for _, b := range list {
					known = known && b.MAC != ""
				}
				return known && (s.State == "serving" || s.State == "degraded")
			})
			x := w.newWire()
			for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
				x.send(vip, 60, 64)
				x.mustAgree(p, "to "+vip.String())
			}
			x.send(empty, 20, 64)
			x.mustAgree(p, "to nobody")
			x.send(natVIP4, 20, 1)
			x.send(natVIP6, 20, 1)
			x.mustAgree(p, "at the end of their way")
			s := p.await("have all frames back", func(s api.Status) bool {
				for _, k := range s.Workers {
					f := k.Frames
					if f.Free+f.Filled+f.Held+f.Transmit != f.Total || f.Total == 0 {
						t.Fatalf("queue %d: frames %+v", k.Queue, f)
					}
					if f.Held+f.Transmit != 0 {
						return false
					}
				}
				return len(s.Workers) > 0
			})
			if n := p.counter("kernel", "tx-invalid"); n != 0 {
				t.Errorf("%d descriptors were refused", n)
			}
			if want := map[bool]string{true: "degraded", false: "serving"}[len(s.Workers) < c.rx]; s.State != want {
				t.Errorf("state %s, want %s", s.State, want)
			}
			p.stop()
		})
	}
}

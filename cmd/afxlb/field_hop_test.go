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

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// C45: where a packet's hops are used up, its sender is told, as by any router: traceroute
// sees the balancer.
func TestFieldLastHop(t *testing.T) {
	w := newWorld(t)
	const none = "health: {type: none},"
	var services []string
	for name, vip := range map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6} {
		services = append(services, service(name, vip, name[:3], "tcp", none), service(name+"u", vip, name[:3], "udp", none))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			if err := w.dialHops(network, vip, 1); !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Errorf("%s to %v with one hop to go: %v", network, vip, err)
			}
		}
		if err := w.dialHops("tcp", vip, 2); err != nil {
			t.Errorf("tcp to %v with two hops to go: %v", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// dialHops opens a connection whose packets may go so many hops, and returns what the
// client is told.
func (w *world) dialHops(network string, vip netip.Addr, hops int) error {
	return w.lab.Clients[0].Do(func() error {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) {
				level, ttl, errs := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVERR
				if vip.Is6() {
					level, ttl, errs = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVERR
				}
				err = errors.Join(unix.SetsockoptInt(int(fd), level, ttl, hops), unix.SetsockoptInt(int(fd), level, errs, 1))
			})
			return errors.Join(cerr, err)
		}}
		c, err := d.DialContext(w.t.Context(), network, netip.AddrPortFrom(vip, port).String())
		if err != nil {
			return err
		}
		defer c.Close()
		if network == "tcp" {
			return nil
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}

// C17: of two balancers that are each other's dsr backends a packet passes one, and ends
// at the other.
func TestFieldTwoBalancersAreEachOthersBackends(t *testing.T) {
	w := newWorld(t)
	if err := w.lab.AddSecond(queues); err != nil {
		t.Fatal(err)
	}
	peer := func(a4, a6 string) []string {
		const form = "  - {name: %s, address: %q, port: %d, protocol: %s, mode: dsr, health: {type: none}, backends: [{address: %q}]}\n"
		return []string{
			fmt.Sprintf(form, "web4", dsrVIP4, port, "tcp", a4), fmt.Sprintf(form, "web6", dsrVIP6, port, "tcp", a6),
			fmt.Sprintf(form, "dns4", dsrVIP4, port, "udp", a4), fmt.Sprintf(form, "dns6", dsrVIP6, port, "udp", a6),
		}
	}
	first := w.serve(w.writeConfig("first.yaml", peer("10.0.0.2", "2001:db8:10::2")...))
	other := *w.lab
	other.Balancer = w.lab.Second
	second := (&world{t: t, lab: &other, web: w.web, dir: w.dir}).serve(w.writeConfig("second.yaml", peer("10.0.0.1", "2001:db8:10::1")...))
	for _, vip := range []netip.Addr{dsrVIP4, dsrVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			w.oneToNobody(network, netip.AddrPortFrom(vip, port))
		}
	}
	w.mustEndAfterOneHop(first, second, 4)
}

// oneToNobody sends a packet to which nobody answers, or a few: a SYN is sent again.
func (w *world) oneToNobody(network string, to netip.AddrPort) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
	defer cancel()
	c, err := w.lab.Clients[0].Dial(ctx, network, to.String())
	if err != nil {
		return
	}
	defer c.Close()
	if network != "udp" {
		w.t.Fatalf("%v has answered", to)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		w.t.Fatal(err)
	}
}

// mustEndAfterOneHop holds that of what one balancer forwards each packet ends as a loop
// at another one, or at itself when it comes back: at least n, and no one more often.
func (w *world) mustEndAfterOneHop(forwards, drops *process, n uint64) {
	w.t.Helper()
	drops.await("end the loops", func(api.Status) bool {
		return drops.counter("packets", "loop") >= n && drops.counter("packets", "loop") == forwards.counter("packets", "forwarded")
	})
	forwards.checkSums()
	drops.checkSums()
	if f, d := forwards.counter("packets", "forwarded"), drops.counter("packets", "loop"); f != d {
		w.t.Errorf("%d packets were forwarded, of which %d ended as loops", f, d)
	}
	if drops != forwards {
		if f := drops.counter("packets", "forwarded"); f != 0 {
			w.t.Errorf("the other balancer forwarded %d packets", f)
		}
		drops.stop()
	}
	forwards.stop()
}

// C42, second part: a dsr backend that does not hold the service's address, and forwards,
// gets a packet once, not until its hops are used up.
func TestFieldBackendSendsBack(t *testing.T) {
	w := newWorld(t)
	h := w.lab.Backends[0]
	for _, a := range []netip.Addr{dsrVIP4, dsrVIP6} {
		if err := h.DelAddrs("lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	w.routeTo(h, dsrVIP4, "10.0.0.1")
	w.routeTo(h, dsrVIP6, "2001:db8:10::1")
	for name, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"} {
		if err := h.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	const form = "  - {name: %s, address: %q, port: %d, protocol: %s, mode: dsr, health: {type: none}, backends: [{address: %q}]}\n"
	p := w.serve(w.writeConfig("afxlb.yaml",
		fmt.Sprintf(form, "web4", dsrVIP4, port, "tcp", lab.BackendAddr(0)), fmt.Sprintf(form, "web6", dsrVIP6, port, "tcp", lab.BackendAddr6(0)),
		fmt.Sprintf(form, "dns4", dsrVIP4, port, "udp", lab.BackendAddr(0)), fmt.Sprintf(form, "dns6", dsrVIP6, port, "udp", lab.BackendAddr6(0))))
	for _, vip := range []netip.Addr{dsrVIP4, dsrVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			w.oneToNobody(network, netip.AddrPortFrom(vip, port))
		}
	}
	w.mustEndAfterOneHop(p, p, 4)
}

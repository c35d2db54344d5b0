package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

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
		_, err = question(c, "x")
		return err
	})
}

// C17: of two balancers that are each other's dsr backends a packet passes one, and ends
// at the other.
func TestFieldTwoBalancersAreEachOthersBackends(t *testing.T) {
	w := newWorld(t)
	beside := w.second()
	first := w.serve(w.writeConfig("first.yaml", dsrTo(netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8:10::2"))...))
	second := beside.serve(w.writeConfig("second.yaml", dsrTo(own4, own6)...))
	for _, vip := range []netip.Addr{dsrVIP4, dsrVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			w.oneToNobody(network, netip.AddrPortFrom(vip, port))
		}
	}
	w.mustEndAfterOneHop(first, second, 4)
}

// dsrTo are dsr services, by TCP and UDP, of one backend that has these addresses.
func dsrTo(a4, a6 netip.Addr) (services []string) {
	for _, protocol := range []string{"tcp", "udp"} {
		keys := fmt.Sprintf("protocol: %s, mode: dsr, health: {type: none},", protocol)
		services = append(services, entry(protocol+"4", dsrVIP4, port, keys, fmt.Sprintf("{address: %q}", a4)),
			entry(protocol+"6", dsrVIP6, port, keys, fmt.Sprintf("{address: %q}", a6)))
	}
	return services
}

// oneToNobody sends a packet to which nobody answers: a SYN, or a datagram.
func (w *world) oneToNobody(network string, to netip.AddrPort) {
	w.t.Helper()
	kind := map[string]int{"tcp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM}[network]
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	if err := w.lab.Clients[0].Do(func() error {
		fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, at); network == "tcp" && err == unix.EINPROGRESS {
			return nil // the SYN is sent, and no second one will be
		} else if err != nil {
			return err
		}
		_, err = unix.Write(fd, []byte("x"))
		return err
	}); err != nil {
		w.t.Fatalf("send one packet by %s to %v: %v", network, to, err)
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
	for vip, balancer := range map[netip.Addr]netip.Addr{dsrVIP4: own4, dsrVIP6: own6} {
		on := netip.PrefixFrom(vip, vip.BitLen())
		if err := h.DelAddrs("lo", on); err != nil {
			t.Fatal(err)
		}
		w.route(h, on, balancer, lab.Interface)
	}
	w.forward(h)
	p := w.serve(w.writeConfig("afxlb.yaml", dsrTo(lab.BackendAddr(0), lab.BackendAddr6(0))...))
	for _, vip := range []netip.Addr{dsrVIP4, dsrVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			w.oneToNobody(network, netip.AddrPortFrom(vip, port))
		}
	}
	w.mustEndAfterOneHop(p, p, 4)
}

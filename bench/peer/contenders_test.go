package peer_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

const (
	port     = 8080
	backends = 2
)

// services returns those of one protocol in both families, whose backends listen on a
// port of their own: a balancer that forgets the port does not get through.
func services(protocol string, dsr bool) (all []peer.Service) {
	for i, vip := range []string{"192.0.2.10", "2001:db8:2::10"} {
		s := peer.Service{Protocol: protocol, Address: netip.AddrPortFrom(netip.MustParseAddr(vip), port-1), DSR: dsr}
		if dsr {
			s.Address = netip.AddrPortFrom(s.Address.Addr(), port)
		}
		for j := range backends {
			to := lab.BackendAddr(j)
			if i == 1 {
				to = lab.BackendAddr6(j)
			}
			s.Backends = append(s.Backends, netip.AddrPortFrom(to, port))
		}
		all = append(all, s)
	}
	return all
}

// newLab makes a lab whose backends b0 and b1 answer on the port.
func newLab(t *testing.T, vips ...netip.Addr) *lab.Lab {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Backends: backends, VIPs: vips})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	for i, h := range l.Backends {
		name := fmt.Sprint("b", i)
		if _, err := h.HTTPServer(fmt.Sprint(":", port), name); err != nil {
			t.Fatal(err)
		}
		if err := h.UDPEcho(netip.AddrPortFrom(lab.BackendAddr(i), port).String(), name); err != nil {
			t.Fatal(err)
		}
		if err := h.UDPEcho(netip.AddrPortFrom(lab.BackendAddr6(i), port).String(), name); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// balances checks that a contender gets through to both backends, in both families, by
// turns or not.
func balances(t *testing.T, l *lab.Lab, services []peer.Service) {
	t.Helper()
	for _, s := range services {
		by := map[string]int{}
		for range 40 {
			by[ask(t, l.Clients[0], s)]++
		}
		if by["b0"] == 0 || by["b1"] == 0 || by["b0"]+by["b1"] != 40 {
			t.Errorf("%s %v answered by %v, want both", s.Protocol, s.Address, by)
		}
	}
}

func ask(t *testing.T, from *lab.Host, s peer.Service) string {
	t.Helper()
	if s.Protocol == "tcp" {
		c := from.HTTPClient(10*time.Second, false)
		name, err := lab.Get(t.Context(), c, "http://"+s.Address.String()+"/")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	c, err := from.Dial(t.Context(), "udp", s.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("no answer from %v: %v", s.Address, err)
	}
	name, rest, _ := strings.Cut(string(b[:n]), " ")
	if rest != "hello" {
		t.Fatalf("answer %q from %v", b[:n], s.Address)
	}
	return name
}

// ends checks that a contender counts its CPU time and leaves nothing on the host.
func ends(t *testing.T, l *lab.Lab, r peer.Running, before string) {
	t.Helper()
	if _, err := r.CPU(); err != nil {
		t.Error(err)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if after := state(t, l.Balancer); after != before {
		t.Errorf("on the host before:\n%s\nafter:\n%s", before, after)
	}
}

// state tells what contenders change on their host, and of the machine.
func state(t *testing.T, h *lab.Host) string {
	t.Helper()
	var b strings.Builder
	addrs, err := h.Netlink().AddrList(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		fmt.Fprintln(&b, a.IPNet)
	}
	link, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, "XDP", link.Attrs().Xdp != nil && link.Attrs().Xdp.Attached)
	err = h.Do(func() error {
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			value, err := os.ReadFile("/proc/sys/net/" + name)
			if err != nil {
				return err
			}
			fmt.Fprint(&b, name, " ", string(value))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "afxlb-bench-*"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, dirs)
	return b.String()
}

// run starts a contender, checks it and ends it.
func run(t *testing.T, l *lab.Lab, services []peer.Service, start func(context.Context, *lab.Host) (peer.Running, error)) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	before := state(t, l.Balancer)
	r, err := start(t.Context(), l.Balancer)
	if err != nil {
		t.Fatal(err)
	}
	balances(t, l, services)
	ends(t, l, r, before)
}

func TestAfxlb(t *testing.T) {
	testutil.RequireRoot(t)
	program := peertest.Afxlb(t)
	for _, c := range []struct {
		protocol, poll, driver string
		dsr                    bool
	}{
		{"tcp", "busy", "native", false}, {"tcp", "adaptive", "native", true}, {"udp", "adaptive", "asavie", false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s := services(c.protocol, c.dsr)
			var vips []netip.Addr
			if c.dsr {
				vips = append(vips, s[0].Address.Addr(), s[1].Address.Addr())
			}
			l := newLab(t, vips...)
			run(t, l, s, func(ctx context.Context, h *lab.Host) (peer.Running, error) {
				a := peer.Afxlb{Program: program, Config: peer.AfxlbConfig(s), Interface: lab.Interface, Queues: "0", CPUs: []int{0}, Poll: c.poll, Driver: c.driver}
				d, err := a.Start(ctx, h)
				if err != nil {
					return nil, err
				}
				status, err := d.API.Status(ctx)
				if err != nil || status.Poll != c.poll || status.Driver != c.driver || len(status.Workers) != 1 || status.Workers[0].CPU != 0 {
					t.Errorf("runs as %+v, %v", status, err)
				}
				return d, nil
			})
		})
	}
}

func TestDNAT(t *testing.T) {
	testutil.RequireRoot(t)
	program := peertest.Find(t, peer.NFT)
	for _, protocol := range []string{"tcp", "udp"} {
		for _, hash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s hash %v", protocol, hash), func(t *testing.T) {
				s := services(protocol, false)
				run(t, newLab(t), s, peer.DNAT{Program: program, Services: s, Hash: hash}.Start)
			})
		}
	}
}

func TestTCPProxy(t *testing.T) {
	testutil.RequireRoot(t)
	s := services("tcp", false)
	program := peertest.Find(t, peer.HAProxy)
	run(t, newLab(t), s, peer.TCPProxy{Program: program, Services: s, CPUs: []int{0, 1}}.Start)
}

func TestStreamProxy(t *testing.T) {
	testutil.RequireRoot(t)
	program := peertest.Find(t, peer.Nginx)
	for _, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			s := services(protocol, false)
			run(t, newLab(t), s, peer.StreamProxy{Program: program, Services: s, CPUs: []int{0, 1}}.Start)
		})
	}
}

package egress

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// floodEnv makes this test binary a process that changes 500 routes a second within the
// prefix, so that its own work is not in the balancer's bill.
const floodEnv = "AFXLB_NEIGHBOUR_FLOOD"

func TestMain(m *testing.M) {
	if prefix := os.Getenv(floodEnv); prefix != "" {
		if err := flood(netip.MustParsePrefix(prefix)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// flood adds and takes away routes to single addresses of the prefix until it is killed.
func flood(prefix netip.Prefix) error {
	link, err := netlink.LinkByName(lab.Interface)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK}
	tick := time.NewTicker(4 * time.Millisecond)
	for a := prefix.Addr(); ; a = a.Next() {
		if !prefix.Contains(a) {
			a = prefix.Addr()
		}
		route.Dst = &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
		if err := netlink.RouteAdd(route); err != nil {
			return err
		}
		if err := netlink.RouteDel(route); err != nil {
			return err
		}
		<-tick.C
	}
}

// startFlood starts a flood of changes on a host; it ends with the host.
func startFlood(tb testing.TB, h *lab.Host, prefix string) {
	tb.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env, c.Stderr = append(os.Environ(), floodEnv+"="+prefix), os.Stderr
	if err := h.Start(c); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// Beside a flood of changes that concern nobody, a neighbour that moves is followed.
func TestMACChangeUnderFlood(t *testing.T) {
	w := watch(t)
	startFlood(t, w.lab.Balancer, "198.18.0.0/15")
	a := lab.BackendAddr(0)
	w.Set([]netip.Addr{a})
	w.until("the backend", func(s Snapshot) bool { return s.Hops[a].Known })
	want := move(t, w.lab.Backends[0])
	w.until("the new MAC", func(s Snapshot) bool { return s.Hops[a].MAC == want })
}

// When the kernel had no room for all that it announced, that is told.
func TestOverrunOfTheSocket(t *testing.T) {
	l := newLab(t)
	var events *subscription
	err := l.Balancer.Do(func() (err error) {
		events, err = subscribe()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer events.close()
	raw, err := events.socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	link, err := l.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(net.IPv4(203, 0, 113, 1)), Scope: netlink.SCOPE_LINK}
	for range 200 { // nobody takes the batches, so the reader stands still
		if err := l.Balancer.Netlink().RouteAdd(route); err != nil {
			t.Fatal(err)
		}
		if err := l.Balancer.Netlink().RouteDel(route); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for {
		for _, e := range <-events.batches {
			if e.subject == aboutAll {
				return
			}
			seen++
		}
		if seen >= 400 {
			t.Fatal("the socket held all: the test shows nothing")
		}
	}
}

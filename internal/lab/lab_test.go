package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/testutil"
)

func newLab(t *testing.T, o Options) *Lab {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// All hosts of one network hear each other; what has to pass the balancer does
// not get through without one.
func TestReachability(t *testing.T) {
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:2::10")}
	l := newLab(t, Options{Clients: 2, Backends: 2, Queues: 2, VIPs: vips})
	for i, h := range l.Backends {
		if _, err := h.HTTPServer(":8080", fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	reach := func(from *Host, addr netip.Addr, within time.Duration) error {
		_, err := Get(t.Context(), from.HTTPClient(within, false), fmt.Sprintf("http://%s/", netip.AddrPortFrom(addr, 8080)))
		return err
	}
	for i := range l.Backends {
		for _, a := range []netip.Addr{BackendAddr(i), BackendAddr6(i)} {
			if err := reach(l.Balancer, a, 30*time.Second); err != nil {
				t.Errorf("balancer → %v: %v", a, err)
			}
		}
	}
	for _, vip := range vips {
		if err := reach(l.Clients[0], vip, time.Second); err == nil {
			t.Errorf("a client reaches %v without a balancer: somebody forwards, or answers ARP for it", vip)
		}
	}
	for _, a := range []netip.Addr{BackendAddr(0), BackendAddr6(0)} {
		if err := reach(l.Clients[0], a, time.Second); err == nil {
			t.Errorf("a client converses with %v: the replies should go to the balancer, which forwards nothing", a)
		}
	}
}

// The balancer's kernel, and everybody's, leaves other people's packets alone,
// whatever the machine's settings are.
func TestNobodyForwards(t *testing.T) {
	l := newLab(t, Options{})
	for _, h := range []*Host{l.Balancer, l.Clients[0], l.Backends[0], l.Switch} {
		for _, s := range settings {
			err := h.Do(func() error {
				got, err := os.ReadFile("/proc/sys/" + s.name)
				if err == nil && strings.TrimSpace(string(got)) != s.value {
					t.Errorf("%s: %s is %s, want %s", h.Name, s.name, got, s.value)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		net  netip.Prefix
		n    int
		want string
	}{
		{backends4, 1, "10.0.0.1"}, {backends4, 11, "10.0.0.11"}, {backends4, firstEnd + maxEnds - 1, "10.0.0.210"},
		{backends6, 1, "2001:db8:10::1"}, {backends6, 11, "2001:db8:10::11"}, {backends6, firstEnd + maxEnds - 1, "2001:db8:10::210"},
	} {
		if got := nth(c.net, c.n); got != netip.MustParseAddr(c.want) {
			t.Errorf("host %d of %v is %v, want %s", c.n, c.net, got, c.want)
		}
	}
	seen := map[netip.Addr]bool{}
	for i := range maxEnds {
		for _, a := range []netip.Addr{ClientAddr(i), ClientAddr6(i), BackendAddr(i), BackendAddr6(i)} {
			if seen[a] {
				t.Errorf("%v is given out twice", a)
			}
			seen[a] = true
		}
	}
}

func TestTooManyHosts(t *testing.T) {
	for _, o := range []Options{{Clients: maxEnds + 1}, {Backends: maxEnds + 1}} {
		if l, err := New(o); err == nil || l != nil {
			t.Errorf("%+v: %v, %v; want an error", o, l, err)
		}
	}
}

// Each host has its own interfaces in its sysfs, and none of another's.
func TestSysfs(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.Clients[0].Sysfs("class/net/"+Interface+"/mtu", "1400"); err != nil {
		t.Fatal(err)
	}
	for h, want := range map[*Host]int{l.Clients[0]: 1400, l.Backends[0]: 1500} {
		link, err := h.Netlink().LinkByName(Interface)
		if err != nil || link.Attrs().MTU != want {
			t.Errorf("%s: MTU %+v, want %d: %v", h.Name, link, want, err)
		}
	}
	if err := l.Clients[0].Sysfs("class/net/"+port(l.Clients[0])+"/mtu", "1400"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an interface of the switch, seen by the client: %v", err)
	}
	if err := l.Clients[0].Sysfs("class/net/"+Interface+"/mtu", "many"); err == nil || !strings.Contains(err.Error(), "client0") {
		t.Errorf("%v, want an error that names the host", err)
	}
}

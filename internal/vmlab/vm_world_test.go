//go:build vm

package vmlab

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

const (
	nicName = "lb0"
	mac     = "02:00:00:00:00:0a"
	tapName = "tap0"

	backends = 2
	webPort  = 8080 // TCP: HTTP; UDP: echo
	sinkPort = 9001 // TCP: takes what comes and answers with its hash
)

// vip is an address of the tests' services.
type vip struct {
	name, mode string
	addr       netip.Addr
	across     bool // its backends are of the other family
}

var vips = []vip{
	{"nat4", "nat", netip.MustParseAddr("192.0.2.10"), false},
	{"nat6", "nat", netip.MustParseAddr("2001:db8:2::10"), false},
	{"dsr4", "dsr", netip.MustParseAddr("192.0.2.20"), false},
	{"dsr6", "dsr", netip.MustParseAddr("2001:db8:2::20"), false},
}

// world is a lab whose balancer is a guest.
type world struct {
	t     *testing.T
	lab   *lab.Lab
	guest *Guest
}

// newWorld builds a lab and boots the guest, whose NIC is set up and has the balancer's
// addresses.
func newWorld(t *testing.T, k *Kernel, n nic) *world {
	t.Helper()
	l := newLab(t, NIC{Tap: tapName, Queues: n.queues})
	g := boot(t, l.Switch, Options{
		Kernel: k, Memory: 1024,
		Image: balancerImage(t, n.driver),
		NICs:  []NIC{{Device: n.device, Tap: tapName, Queues: n.queues, MAC: mac}},
	})
	w := &world{t: t, lab: l, guest: g}
	t.Cleanup(func() {
		if t.Failed() {
			w.tellNIC()
		}
	})
	in(t, g, "guest", "name", mac, nicName)
	if n.channels > 0 {
		in(t, g, "guest", "channels", nicName, fmt.Sprint(n.channels))
	}
	w.setUp(nicName)
	return w
}

// tellNIC logs what the guest's kernel and driver count.
func (w *world) tellNIC() {
	for _, args := range [][]string{{"stats", nicName}, {"cat", "/proc/net/dev"}, {"cat", "/proc/interrupts"}} {
		text, err := w.guest.Run(context.Background(), append([]string{"guest"}, args...)...)
		w.t.Logf("%q: %v\n%s", args, err, text)
	}
}

// newLab builds a lab with servers, whose balancer comes by these NICs.
func newLab(t *testing.T, nics ...NIC) *lab.Lab {
	t.Helper()
	l := newLabOf(t, lab.Options{})
	for _, n := range nics {
		if err := l.AddTap(n.Tap, n.Queues); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// newLabOf builds a lab with servers, and no NICs.
func newLabOf(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	var held []netip.Addr
	for _, v := range vips {
		if v.mode == "dsr" {
			held = append(held, v.addr)
		}
	}
	o.Backends, o.VIPs, o.External = backends, held, true
	l, err := lab.New(o)
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
		if _, err := h.HTTPServer(fmt.Sprint(":", webPort), name); err != nil {
			t.Fatal(err)
		}
		for _, a := range append(held, lab.BackendAddr(i), lab.BackendAddr6(i)) {
			if err := h.UDPEcho(netip.AddrPortFrom(a, webPort).String(), name); err != nil {
				t.Fatal(err)
			}
		}
		listenSink(t, h)
	}
	return l
}

// balancerImage has afxlb and the drivers.
func balancerImage(t *testing.T, modules ...string) Image {
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return Image{
		Modules: append(modules, "veth", "tun"), // veth and tun: the balancer's road back to the kernel
		Files:   map[string]string{"bin/afxlb": filepath.Join(dir, "afxlb")},
	}
}

// setUp gives the guest's interface the balancer's addresses.
func (w *world) setUp(name string) { w.setUpWith(name, lab.BalancerPrefixes()) }

// setUpWith gives it some of them.
func (w *world) setUpWith(name string, own []netip.Prefix) {
	w.t.Helper()
	w.settle(name)
	in(w.t, w.guest, "guest", "up", name)
	args := []string{"guest", "addr", name}
	for _, p := range own {
		args = append(args, p.String())
	}
	in(w.t, w.guest, args...)
}

// settle has an interface's addresses be of use at once, and stay.
func (w *world) settle(name string) {
	w.t.Helper()
	for _, s := range [][2]string{
		{"net.ipv6.conf.all.accept_dad", "0"}, {"net.ipv6.conf." + name + ".accept_dad", "0"},
		{"net.ipv6.conf.all.keep_addr_on_down", "1"}, // for who sets the interface down and up
		{"net.ipv4.conf.all.rp_filter", "0"},
	} {
		in(w.t, w.guest, "guest", "sysctl", s[0], s[1])
	}
}

// config is a config file with all services on one interface.
func (w *world) config() string { return w.configOf(vips) }

func (w *world) configOf(list []vip) string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface: %s\nconntrack: {max-flows: 20000}\nservices:\n", nicName)
	for _, v := range list {
		service(&b, v, "web", "tcp", webPort)
		service(&b, v, "sink", "tcp", sinkPort)
		service(&b, v, "echo", "udp", webPort)
	}
	return b.String()
}

func service(b *strings.Builder, v vip, kind, protocol string, port int) {
	health := "{type: tcp, interval: 5s, timeout: 5s}"
	if protocol == "udp" {
		health = "{type: none}"
	}
	fmt.Fprintf(b, "  - {name: %s-%s, address: %q, port: %d, protocol: %s, mode: %s, %s health: %s, backends: [", v.name, kind, v.addr, port, protocol, v.mode, v.keys(), health)
	for i := range backends {
		fmt.Fprintf(b, "{name: b%d, address: %q}, ", i, v.backend(i))
	}
	b.WriteString("]}\n")
}

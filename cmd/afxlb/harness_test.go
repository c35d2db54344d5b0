package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// The services' addresses in these tests.
var (
	natVIP4 = netip.MustParseAddr("192.0.2.10")
	natVIP6 = netip.MustParseAddr("2001:db8:2::10")
	dsrVIP4 = netip.MustParseAddr("192.0.2.20")
	dsrVIP6 = netip.MustParseAddr("2001:db8:2::20")
)

// The balancer's own addresses in the backends' network.
var own4, own6 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8:10::1")

const (
	queues = 2
	port   = 8080
	// patience bounds every wait: far above what it takes on a busy machine.
	patience = 30 * time.Second
	poll     = 10 * time.Millisecond
)

// world is a lab with web servers named b0, b1 and b2, and a folder for files. Tests with worlds
// run beside each other, since they mostly wait: what a world's processes get of an environment
// is its own.
type world struct {
	t   *testing.T
	lab *lab.Lab
	web []*lab.HTTPServer
	dir string
	env []string // of afxlb, besides the test's own
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, 0)
}

// newWorldOf returns one whose balancer has a second interface with so many queues, by which
// the backends are; 0: it has none.
func newWorldOf(t *testing.T, inner int) *world {
	t.Helper()
	testutil.RequireRoot(t)
	t.Parallel()
	l, err := lab.New(lab.Options{Backends: 3, Queues: queues, Inner: inner, VIPs: []netip.Addr{dsrVIP4, dsrVIP6}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	w := &world{t: t, lab: l, dir: t.TempDir()}
	for i, h := range l.Backends {
		s, err := h.HTTPServer(fmt.Sprint(":", port), fmt.Sprint("b", i))
		if err != nil {
			t.Fatal(err)
		}
		w.web = append(w.web, s)
	}
	return w
}

// entry returns a service's part of a config file. The ports may be a range or any; keys
// are further ones, each with a comma.
func entry(name string, vip netip.Addr, ports any, keys string, backends ...string) string {
	return fmt.Sprintf("  - {name: %s, address: %q, port: %v, %s backends: [%s]}\n", name, vip, ports, keys, strings.Join(backends, ", "))
}

// backendAddr returns backend i's address of a service's family.
func backendAddr(i int, vip netip.Addr) netip.Addr {
	if vip.Is6() {
		return lab.BackendAddr6(i)
	}
	return lab.BackendAddr(i)
}

// backendsOf returns b0, b1 and b2 for entry, by their addresses of a service's family.
func backendsOf(vip netip.Addr) (list []string) {
	for i := range 3 {
		list = append(list, fmt.Sprintf("{name: b%d, address: %q}", i, backendAddr(i, vip)))
	}
	return list
}

// service is the entry of a service at the web servers' port.
func service(name string, vip netip.Addr, mode, protocol, extra string) string {
	return entry(name, vip, port, fmt.Sprintf("protocol: %s, mode: %s, %s", protocol, mode, extra), backendsOf(vip)...)
}

// portsService is the entry of a nat service at several ports, which are its backends' too.
func portsService(name string, vip netip.Addr, protocol, ports, health string) string {
	return entry(name, vip, ports, fmt.Sprintf("protocol: %s, %s", protocol, health), backendsOf(vip)...)
}

// quickHealth finds a server's death and its return soon, and gives one that lives as much time
// to answer as a busy machine takes: a backend that is called down for lateness is not what these
// tests are about.
const quickHealth = "health: {type: tcp, " + quickly + "},"

// quickly is the keys of it that every type of check has.
const quickly = "interval: 1s, fast-interval: 200ms, timeout: 1s, rise: 2, fall: 2"

// forward has a host pass on what is not for it.
func (w *world) forward(h *lab.Host) {
	w.t.Helper()
	if err := h.Forward(); err != nil {
		w.t.Fatal(err)
	}
}

// second gives the lab another balancer, and returns the world in which it is the one.
func (w *world) second() *world {
	w.t.Helper()
	if err := w.lab.AddSecond(queues); err != nil {
		w.t.Fatal(err)
	}
	other := *w.lab
	other.Balancer = w.lab.Second
	return &world{t: w.t, lab: &other, web: w.web, dir: w.dir}
}

// writeConfig writes a config file with these services and returns its path.
func (w *world) writeConfig(name string, services ...string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	text := "interface: " + lab.Interface + "\nservices:\n" + strings.Join(services, "")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// get asks a service for who answers, on a connection of its own.
func (w *world) get(vip netip.Addr) (string, error) {
	c := w.lab.Clients[0].HTTPClient(patience, false)
	return lab.Get(w.t.Context(), c, url(vip, "/"))
}

// mustAnswer asks n times; every request must be answered.
func (w *world) mustAnswer(n int, vip netip.Addr) map[string]int {
	w.t.Helper()
	by := map[string]int{}
	for range n {
		name, err := w.get(vip)
		if err != nil {
			w.t.Fatalf("request to %v: %v", vip, err)
		}
		by[name]++
	}
	return by
}

func url(vip netip.Addr, path string) string {
	return "http://" + netip.AddrPortFrom(vip, port).String() + path
}

// attached reports whether an XDP program is on the balancer's interface.
func (w *world) attached() bool {
	w.t.Helper()
	x := w.interfaceOf(w.lab.Balancer).Xdp
	return x != nil && x.Attached
}

// interfaceOf returns what a host's kernel says of its interface.
func (w *world) interfaceOf(h *lab.Host) *netlink.LinkAttrs {
	w.t.Helper()
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		w.t.Fatal(err)
	}
	return l.Attrs()
}

package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

const (
	clients = 3
	queues  = 2

	interval = 250 * time.Millisecond // between health checks
	fall     = 3
	rise     = 2
)

// backends are the servers of the demo; only weighted algorithms heed the weights.
var backends = []struct {
	name   string
	weight int
}{{"a", 1}, {"b", 2}, {"c", 3}}

// service is one service of the demo, all with the same backends. Each has a port
// of its own also at the backends: replies for two nat services that share a
// backend's port could not be told apart if a client used one port for both, and
// the balancer would go round such a clash by another backend.
type service struct {
	algorithm, mode string
	vip             netip.AddrPort
	connections     int
	hold            bool // open until the last one is, so that load shows
	expect          expectation
}

// services are one for each algorithm, and one for each other way of forwarding.
var services = []service{
	{"round-robin", "nat", vip("192.0.2.10", 8001), 60, false, evenTurns},
	{"weighted-round-robin", "nat", vip("192.0.2.10", 8002), 60, false, weightedTurns},
	{"weighted", "nat", vip("192.0.2.10", 8003), 600, false, chanceByWeight},
	{"least-conn", "nat", vip("192.0.2.10", 8004), 60, true, loadByWeight},
	{"two-choices", "nat", vip("192.0.2.10", 8005), 60, true, aboutLoadByWeight},
	{"source-hash", "nat", vip("192.0.2.10", 8006), 60, false, oneEach},
	{"maglev", "nat", vip("192.0.2.10", 8007), 600, false, chanceByWeight},
	{"round-robin", "nat", vip("2001:db8:2::10", 8001), 60, false, evenTurns},
	{"round-robin", "fullnat", vip("192.0.2.10", 8009), 60, false, evenTurns},
	{"round-robin", "fullnat", vip("2001:db8:2::10", 8009), 60, false, evenTurns},
	{"round-robin", "dsr", vip("192.0.2.20", 8008), 60, false, evenTurns},
	{"round-robin", "dsr", vip("2001:db8:2::20", 8008), 60, false, evenTurns},
	{"round-robin", "ipip", vip("192.0.2.30", 8008), 60, false, evenTurns},
	{"round-robin", "ipip", vip("2001:db8:2::30", 8008), 60, false, evenTurns},
	{"round-robin", "gue", vip("192.0.2.31", 8008), 60, false, evenTurns},
	{"round-robin", "gre", vip("192.0.2.32", 8008), 60, false, evenTurns},
}

// What the later steps use.
var (
	roundRobin = &services[0]
	leastConn  = &services[3]
)

func vip(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// heldVIPs are those that the backends must have themselves.
func heldVIPs() (list []netip.Addr) {
	for _, s := range services {
		if s.mode != "nat" {
			list = append(list, s.vip.Addr())
		}
	}
	return list
}

// ports are those that the backends listen on.
func ports() (list []uint16) {
	seen := map[uint16]bool{}
	for _, s := range services {
		if p := s.vip.Port(); !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

func (s *service) name() string { return s.algorithm + "-" + s.mode + "-" + s.family() }

func (s *service) family() string {
	if s.vip.Addr().Is6() {
		return "ipv6"
	}
	return "ipv4"
}

// ownAddr returns the balancer's address in the backends' network, of a service's family.
func ownAddr(vip netip.Addr) netip.Addr {
	own := lab.BalancerPrefixes() // the clients' network comes first
	if vip.Is6() {
		return own[3].Addr()
	}
	return own[2].Addr()
}

// configFile returns the daemon's config file.
func configFile(driver string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface: %s\ndriver: %s\nservices:\n", lab.Interface, driver)
	for _, s := range services {
		fmt.Fprintf(&b, "  - name: %s\n    address: %q\n    port: %d\n    mode: %s\n    algorithm: %s\n", s.name(), s.vip.Addr(), s.vip.Port(), s.mode, s.algorithm)
		if s.mode == "fullnat" {
			fmt.Fprintf(&b, "    snat-addresses: [%q]\n", ownAddr(s.vip.Addr()))
		}
		fmt.Fprintf(&b, "    health: {type: http, path: /healthz, interval: %v, timeout: %[1]v, rise: %d, fall: %d}\n    backends:\n", interval, rise, fall)
		for i, be := range backends {
			addr := lab.BackendAddr(i)
			if s.vip.Addr().Is6() {
				addr = lab.BackendAddr6(i)
			}
			fmt.Fprintf(&b, "      - {name: %s, address: %q, weight: %d}\n", be.name, addr, be.weight)
		}
	}
	return b.String()
}

package demo

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/afxlb/afxlb/internal/lab"
)

const (
	queues   = 2
	webPort  = 8080
	interval = 200 // ms between health checks
	fall     = 2
	rise     = 2
)

// backends are the servers of the demo; only weighted algorithms heed the weights.
var backends = []struct {
	name   string
	weight int
}{{"a", 1}, {"b", 2}, {"c", 3}}

// service is one service of the demo, all with the same backends.
type service struct {
	algorithm, mode string
	vip             netip.AddrPort
	expect          expectation
}

// services are one for each algorithm, and one for each other way of forwarding.
var services = []service{
	{"round-robin", "nat", vip("192.0.2.10", 8001), even},
	{"weighted-round-robin", "nat", vip("192.0.2.10", 8002), exactByWeight},
	{"weighted", "nat", vip("192.0.2.10", 8003), roughlyByWeight},
	{"least-conn", "nat", vip("192.0.2.10", 8004), all},
	{"two-choices", "nat", vip("192.0.2.10", 8005), all},
	{"source-hash", "nat", vip("192.0.2.10", 8006), one},
	{"maglev", "nat", vip("192.0.2.10", 8007), all},
	{"round-robin", "nat", vip("2001:db8:2::10", 8001), even},
	{"round-robin", "dsr", vip("192.0.2.20", webPort), even},
	{"round-robin", "dsr", vip("2001:db8:2::20", webPort), even},
}

func vip(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

func dsrVIPs() (list []netip.Addr) {
	for _, s := range services {
		if s.mode == "dsr" {
			list = append(list, s.vip.Addr())
		}
	}
	return list
}

func (s *service) name() string {
	family := "ipv4"
	if s.vip.Addr().Is6() {
		family = "ipv6"
	}
	return s.algorithm + "-" + s.mode + "-" + family
}

// configFile returns the daemon's config file.
func configFile(driver string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface: %s\ndriver: %s\nservices:\n", lab.Interface, driver)
	for _, s := range services {
		fmt.Fprintf(&b, "  - name: %s\n    address: %q\n    port: %d\n    mode: %s\n    algorithm: %s\n", s.name(), s.vip.Addr(), s.vip.Port(), s.mode, s.algorithm)
		fmt.Fprintf(&b, "    health: {type: http, path: /healthz, port: %d, interval: %dms, timeout: %dms, rise: %d, fall: %d}\n    backends:\n", webPort, interval, interval, rise, fall)
		for i, be := range backends {
			addr, port := lab.BackendAddr(i), ""
			if s.vip.Addr().Is6() {
				addr = lab.BackendAddr6(i)
			}
			if s.mode == "nat" {
				port = fmt.Sprintf(", port: %d", webPort)
			}
			fmt.Fprintf(&b, "      - {name: %s, address: %q%s, weight: %d}\n", be.name, addr, port, be.weight)
		}
	}
	return b.String()
}

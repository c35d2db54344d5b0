package control

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// Scene is what a daemon has to do. Backend j of service i is at address i+j, modulo
// their number, so that all addresses have as many services.
type Scene struct {
	Services  int
	Backends  int // of each service
	Addresses int

	Interval, Timeout time.Duration // of the checks
}

// The checks' thresholds.
const (
	fall = 3
	rise = 2
)

// vip is the first service's address, 80 its port. Ports go up where addresses end.
var vip = netip.MustParseAddr("192.0.2.1")

const (
	firstPort   = 80
	vips        = 250
	backendPort = 8080
)

// The sizes that a lab has room for.
const (
	maxServices  = vips * 1000
	maxAddresses = 200
)

// Check says what is wrong with the scene.
func (s Scene) Check() error {
	switch {
	case s.Services < 1 || s.Services > maxServices:
		return fmt.Errorf("want 1 to %d services, not %d", maxServices, s.Services)
	case s.Addresses < 2 || s.Addresses > maxAddresses:
		return fmt.Errorf("want 2 to %d addresses, not %d", maxAddresses, s.Addresses)
	case s.Backends < 2 || s.Backends > s.Addresses:
		return fmt.Errorf("want 2 backends a service at least, and no more than the %d addresses; not %d", s.Addresses, s.Backends)
	}
	return nil
}

// String names the scene.
func (s Scene) String() string { return fmt.Sprintf("%dx%d", s.Services, s.Backends) }

// address returns the address of a service's backend.
func (s Scene) address(service, backend int) netip.Addr {
	return lab.BackendAddr((service + backend) % s.Addresses)
}

// at returns how many backends are at one address.
func (s Scene) at(a netip.Addr) (n int) {
	for i := range s.Services {
		for j := range s.Backends {
			if s.address(i, j) == a {
				n++
			}
		}
	}
	return n
}

// due is the longest that it may take until an address that has died is out of all
// services: so many checks in turn have to fail, the first of which begins an interval
// later at worst, and some time is for the change itself.
func (s Scene) due() time.Duration {
	return fall*s.Interval + s.Timeout + 500*time.Millisecond
}

// config writes the scene as a config file, with weights other than 1 by service, for
// the first backend of each.
func (s Scene) config(weights map[int]int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	a := vip
	for i := range s.Services {
		fmt.Fprintf(&b, "  - {name: %s, address: %s, port: %d, protocol: tcp, mode: nat, algorithm: maglev, health: {type: tcp, interval: %v, timeout: %v, fall: %d, rise: %d}, backends: [",
			serviceName(i), a, firstPort+i/vips, s.Interval, s.Timeout, fall, rise)
		for j := range s.Backends {
			weight := 1
			if w, ok := weights[i]; ok && j == 0 {
				weight = w
			}
			fmt.Fprintf(&b, "{name: b%d, address: %s, port: %d, weight: %d}, ", j, s.address(i, j), backendPort, weight)
		}
		b.WriteString("]}\n")
		if a = a.Next(); i%vips == vips-1 {
			a = vip
		}
	}
	return b.String()
}

func serviceName(i int) string { return fmt.Sprint("s", i) }

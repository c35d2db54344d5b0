package health

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// TestReservation: nobody gets a port that is reserved, and no port is reserved whose
// answers a service would take.
func TestReservation(t *testing.T) {
	own := netip.MustParseAddr("127.0.0.1")
	r, err := reserve(own, func(netip.AddrPort) bool { return false })
	must(t, err)
	if l, err := net.Listen("tcp", r.String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another one gets %v: %v, %v", r, l, err)
	}
	r.release()
	high, err := reserve(own, func(a netip.AddrPort) bool { return a.Port() >= 30000 })
	if err != nil || high.Port() >= 30000 {
		t.Errorf("reserved %v of the ports below 30000: %v", high, err)
	}
	high.release()
	if r, err := reserve(own, func(netip.AddrPort) bool { return true }); !errors.Is(err, syscall.EADDRNOTAVAIL) || !local(err) {
		t.Errorf("reserved %v where all ports are services': %v", r, err)
	}
	if _, err := reserve(netip.MustParseAddr("192.0.2.99"), func(netip.AddrPort) bool { return false }); err == nil {
		t.Error("a port of somebody else's address was reserved")
	}
}

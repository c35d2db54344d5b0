package peer

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
)

// Service is one address, whose connections or datagrams go to the backends by turns.
type Service struct {
	Protocol string         // tcp or udp
	Address  netip.AddrPort // the service's: the one that clients use
	Backends []netip.AddrPort
	DSR      bool // backends answer past the balancer; for afxlb, others can't
}

// family is "ip" or "ip6", as nftables calls it.
func (s *Service) family() string {
	if s.Address.Addr().Is6() {
		return "ip6"
	}
	return "ip"
}

// Running is a contender that has been started.
type Running interface {
	// CPU returns the time used by its own threads so far, in the kernel too, but not
	// in interrupts and other threads of the kernel.
	CPU() (time.Duration, error)
	// Stop ends it and leaves nothing of it on the host.
	Stop() error
}

// own gives a host the services' addresses. A proxy needs them to listen on, and ends
// the clients' connections there; who forwards packets must not have them, or the
// kernel would take the packets for its own. The returned function takes them away.
func own(h *lab.Host, services []Service) (disown func() error, err error) {
	lo, err := h.Netlink().LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo of %s: %w", h.Name, err)
	}
	var held []*netlink.Addr
	disown = func() error {
		for _, a := range held {
			if err := h.Netlink().AddrDel(lo, a); err != nil {
				return fmt.Errorf("take %s from %s: %w", a.IPNet, h.Name, err)
			}
		}
		return nil
	}
	seen := map[netip.Addr]bool{}
	for _, s := range services {
		ip := s.Address.Addr()
		if seen[ip] {
			continue
		}
		seen[ip] = true
		a := &netlink.Addr{IPNet: netlink.NewIPNet(ip.AsSlice())}
		if err := h.Netlink().AddrAdd(lo, a); err != nil {
			_ = disown() // the first error tells more
			return nil, fmt.Errorf("give %s to %s: %w", ip, h.Name, err)
		}
		held = append(held, a)
	}
	return disown, nil
}

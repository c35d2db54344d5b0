package health

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/afxlb/afxlb/internal/packet"
)

// asker returns the own address that a half-open probe of t comes from: what the user says, or
// the one that the kernel would use towards the holder. Through a tunnel that
// is of another family than the holder's, the answer comes by a way that nothing is known of:
// it is any address of an interface then.
func asker(t *Target) (netip.Addr, error) {
	vip := t.Address.Addr()
	if t.Source.IsValid() {
		return t.Source, nil
	}
	if t.Holder.Is4() == vip.Is4() {
		return ownAddress(t.Holder)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, i := range interfaces {
		if i.Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp {
			continue
		}
		list, err := i.Addrs()
		if err != nil {
			return netip.Addr{}, err
		}
		for _, one := range list {
			p, err := netip.ParsePrefix(one.String())
			if a := p.Addr(); err == nil && a.Is4() == vip.Is4() && a.IsGlobalUnicast() && a != vip {
				return a, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("no own address that %v could answer: %w", vip, syscall.EADDRNOTAVAIL)
}

// enclose returns the outer packet of a tunnel with a segment and its data inside, and its Ethernet type in
// network byte order. own is the machine's own address, from which it comes if c does not
// say from where.
func enclose(s *segment, data []byte, own netip.Addr, c packet.TunnelConfig) (outer []byte, protocol uint16, err error) {
	if !c.Source.IsValid() {
		if own.Is4() != c.Destination.Is4() || !own.IsValid() {
			return nil, 0, fmt.Errorf("no own address is known for a tunnel to %v: %w", c.Destination, syscall.EHOSTUNREACH)
		}
		c.Source = netip.PrefixFrom(own, own.BitLen())
	}
	tunnel := packet.NewTunnel(&c)
	b := s.appendTo(make([]byte, tunnel.Len()), reachInside, data...)
	key := packet.Key{
		Src: packet.AddrFrom(s.from.Addr()), Dst: packet.AddrFrom(s.to.Addr()), SrcPort: s.from.Port(), DstPort: s.to.Port(), Proto: protocolTCP,
	}
	tunnel.Encapsulate(b, tunnel.Len(), key.Hash(0))
	return b, etherType(!tunnel.IPv6()), nil
}

package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// foreign says which addresses that are to be the machine's own are not.
func foreign(f *Facts, r *found) {
	if f.Config == nil {
		return
	}
	for _, a := range control.Foreign(&f.Config.Spec, f.Ways.Local) {
		r.findings = append(r.findings, Finding{
			Check: string(a.Kind), Group: r.group, Severity: Warning, What: a.String(),
			Do: fmt.Sprintf("ip address add %s dev %s", netip.PrefixFrom(a.Address, a.Address.BitLen()), f.first()),
		})
	}
}

// first is the name of the first interface.
func (m *Machine) first() string {
	if len(m.Ports) == 0 {
		return "IF"
	}
	return m.Ports[0]
}

// reachable says which backends can't be.
func reachable(f *Facts, r *found) {
	if f.NoSite != nil || f.Config == nil {
		return
	}
	n, unknown := 0, 0
	for i := range f.Config.Spec.Services {
		s := &f.Config.Spec.Services[i]
		for j := range s.Backends {
			b := &s.Backends[j]
			why := control.Obstacle(&f.Ways, f.Config.Spec.Neighbours, s, b.Address)
			if why == "" {
				n++
				if _, static := f.Config.Spec.Neighbours[b.Address]; !static && !f.Ways.Hops[b.Address].Known {
					unknown++
				}
				continue
			}
			do := fmt.Sprintf("ip route get %s shows the way; it has to lead by %s, or by one more that interfaces names", b.Address, strings.Join(f.Ports, " or "))
			if s.Mode.Traits().NeedsLink {
				do += ", without a router for mode " + s.Mode.String()
			}
			r.cannot(fmt.Sprintf("services[%d].backends[%d]: %s of %s at %s is unreachable", i, j, b.Name, s.Name, b.Address), why, do)
		}
	}
	r.saw("a way leads to %d backends; the next hops of %d are not known to the kernel just now, which asks when they are served", n, unknown)
}

// tunnelMTU says where a tunnel leaves less than a client may send.
func tunnelMTU(f *Facts, r *found) {
	widest := 0
	for i := range f.Site.ports {
		widest = max(widest, f.Site.ports[i].nic.MTU)
	}
	if f.Config == nil {
		return
	}
	for i := range f.Config.Spec.Services {
		s := &f.Config.Spec.Services[i]
		var narrow []string
		least, over := 0, 0
		for j := range s.Backends {
			b := &s.Backends[j]
			h := f.Ways.Hops[b.Address]
			c, tunnelled := s.TunnelTo(b.Address, f.Ways.Own[b.Address])
			if !tunnelled || h.MTU == 0 {
				continue
			}
			t := packet.NewTunnel(&c)
			if left := h.MTU - t.Len(); left < widest {
				narrow = append(narrow, b.Name)
				if least == 0 || left < least {
					least, over = left, t.Len()
				}
			}
		}
		if len(narrow) > 0 {
			r.warn(fmt.Sprintf("%s: the tunnel of mode %s takes %d bytes, and leaves packets of %d to %s", s.Name, s.Mode, over, least, some(narrow)),
				fmt.Sprintf("clients send up to %d, and are told to send less, which a firewall that eats ICMP keeps from them", widest),
				fmt.Sprintf("raise the MTU of the links to the backends to %d (ip link set %s mtu %[1]d, and on the way), or of the route (ip route change ... mtu)", widest+over, f.first()))
		}
	}
}

// some lists a few.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// forwarding says whether backends that have this machine as their gateway get anywhere.
func forwarding(f *Facts, r *found) {
	if f.Config == nil {
		return
	}
	var four, six bool
	for i := range f.Config.Spec.Services {
		if s := &f.Config.Spec.Services[i]; s.Mode == balancer.NAT {
			four, six = four || s.Address.Is4(), six || s.Address.Is6()
		}
	}
	const what = "does not forward"
	const why = "backends of nat services have this machine as their gateway, and what they send for reasons of their own (DNS, updates) gets nowhere"
	if four && !f.Routing.Forwards4 {
		r.warn("the kernel "+what+" IPv4 (net.ipv4.ip_forward is 0)", why, "sysctl -w net.ipv4.ip_forward=1, unless they have another way for that")
	}
	if six && !f.Routing.Forwards6 {
		r.warn("the kernel "+what+" IPv6 (net.ipv6.conf.all.forwarding is 0)", why, "sysctl -w net.ipv6.conf.all.forwarding=1, unless they have another way for that")
	}
	r.saw("forwarding: IPv4 %s, IPv6 %s", onOff(f.Routing.Forwards4), onOff(f.Routing.Forwards6))
}

// rpFilter warns of a strict filter where it has dropped something, or packets of one source may
// come by several interfaces. What is steered does not meet it; answers to probes do, and what
// is given back or is for the machine itself.
func rpFilter(m *Machine, r *found) {
	if len(m.Routing.Strict) == 0 {
		r.saw("no strict reverse path filter (rp_filter) on the interfaces")
		return
	}
	if len(m.Ports) < 2 && m.Routing.Filtered == 0 {
		r.saw("rp_filter is strict, and has dropped nothing")
		return
	}
	seen := "several interfaces are served"
	if n := m.Routing.Filtered; n > 0 {
		seen = fmt.Sprintf("%d packets were dropped by it", n)
	}
	for _, port := range m.Routing.Strict {
		r.add(port, Warning, "rp_filter is 1 (strict), and "+seen,
			"what comes by another interface than the route to its source leads by is dropped without a word: answers to health checks, and what the kernel forwards",
			"sysctl -w net.ipv4.conf."+strings.ReplaceAll(port, ".", "/")+".rp_filter=2") // sysctl(8): a dot within a name is a slash
	}
}

// neighbours warns of a neighbour table that is too small for the backends that are on the link.
func neighbours(m *Machine, r *found) {
	var four, six []netip.Addr
	for i := range m.Spec.Services {
		for j := range m.Spec.Services[i].Backends {
			a := m.Spec.Services[i].Backends[j].Address
			if list := pick(a.Is4(), &four, &six); m.onLink(a) && !slices.Contains(*list, a) {
				*list = append(*list, a)
			}
		}
	}
	n := &m.Neighbours
	table(r, "ipv4", len(four), n.Entries4, n.Soft4, n.Hard4)
	table(r, "ipv6", len(six), n.Entries6, n.Soft6, n.Hard6)
}

func pick(first bool, a, b *[]netip.Addr) *[]netip.Addr {
	if first {
		return a
	}
	return b
}

// nearly is how full a table may be.
const nearly = 0.9

func table(r *found, family string, backends, entries, soft, hard int) {
	if hard == 0 {
		return
	}
	// All that the kernel knows come first: clients on the link are among them.
	needs := max(backends, entries)
	prefix := "net." + family + ".neigh.default.gc_thresh"
	do := fmt.Sprintf("sysctl -w %s1=%d %[1]s2=%d %[1]s3=%d", prefix, 2*needs, 4*needs, 8*needs)
	const why = "the kernel forgets neighbours that it needs, or takes no new ones, and who is behind them can't be reached"
	switch {
	case backends > hard:
		r.cannot(fmt.Sprintf("%d backends are on the link, and the kernel keeps %d neighbours at most (%s3)", backends, hard, prefix), why, do)
	case backends > soft:
		r.warn(fmt.Sprintf("%d backends are on the link, and the kernel begins to forget neighbours beyond %d (%s2)", backends, soft, prefix), why, do)
	case float64(entries) > nearly*float64(hard):
		r.warn(fmt.Sprintf("the kernel knows %d neighbours, and keeps %d at most (%s3)", entries, hard, prefix), why, do)
	default:
		r.saw("%s neighbours: %d backends on the link, %d entries of %d", family, backends, entries, hard)
	}
}

// onLink reports whether an address is in a network of the machine's own.
func (m *Machine) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(m.Own, func(p netip.Prefix) bool { return p.Contains(a) && !p.IsSingleIP() })
}

// local reports whether an address is the machine's own.
func (m *Machine) local(a netip.Addr) bool {
	return slices.ContainsFunc(m.Own, func(p netip.Prefix) bool { return p.Addr() == a })
}

// announced reports whether the balancer itself sees to it that an address leads here.
func (m *Machine) announced(a netip.Addr) bool {
	return slices.ContainsFunc(m.Spec.Services, func(s balancer.ServiceSpec) bool { return s.Address == a && s.Announce != balancer.AnnounceNone })
}

// addresses warns of services to whose address nobody would send: one in a network of the machine's
// own is asked for there by ARP or neighbour discovery, and the kernel answers for its own only.
func addresses(m *Machine, r *found) {
	var said []netip.Addr
	for i := range m.Spec.Services {
		s := &m.Spec.Services[i]
		switch {
		case slices.Contains(said, s.Address):
		case m.announced(s.Address):
			r.saw("%s is announced by the balancer while it has a backend in rotation", s.Address)
		case m.local(s.Address):
			r.saw("%s is this machine's own address", s.Address)
		case m.onLink(s.Address) && m.VRRP:
			r.saw("%s is not this machine's address now, and keepalived may bring it", s.Address)
		case m.onLink(s.Address):
			r.warn(fmt.Sprintf("%s of %s is in a network that this machine is in, and is not its address", s.Address, s.Name),
				"nobody here answers when neighbours ask for it: no packet to it comes, unless another machine has it now (VRRP)",
				fmt.Sprintf("announce: arp of the service, or ip address add %s dev %s", netip.PrefixFrom(s.Address, s.Address.BitLen()), m.first()))
		default:
			r.saw("%s comes by a router's route, which can't be seen from here", s.Address)
		}
		said = append(said, s.Address)
	}
}

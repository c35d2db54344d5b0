package listener

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
)

// Meetings returns a line for people for each service on an own address of which this
// machine's own servers have ports.
func Meetings(spec *balancer.Spec) ([]string, error) {
	own, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	onOwn := func(s balancer.ServiceSpec) bool { return own[s.Address] }
	if !slices.ContainsFunc(spec.Services, onOwn) {
		return nil, nil
	}
	all, err := All()
	if err != nil {
		return nil, err
	}
	met, inodes := map[int][]Listener{}, map[uint64]bool{}
	for i := range spec.Services {
		if onOwn(spec.Services[i]) {
			met[i] = meets(all, &spec.Services[i])
		}
		for _, l := range met[i] {
			inodes[l.inode] = true
		}
	}
	names := owners("/proc", inodes)
	var lines []string
	for i := range spec.Services {
		if len(met[i]) > 0 {
			lines = append(lines, tell(&spec.Services[i], met[i], names))
		}
	}
	return lines, nil
}

// ownAddresses returns this machine's addresses in the calling thread's network namespace.
func ownAddresses() (map[netip.Addr]bool, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read own addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	return own, nil
}

// ephemeral is where most UDP sockets are no servers: resolvers, which come and go. It is
// what a kernel has from the start (net.ipv4.ip_local_port_range).
const ephemeralFirst, ephemeralLast = 32768, 60999

// meets returns the listeners that have a port of the service, one a port, by port.
func meets(all []Listener, s *balancer.ServiceSpec) (met []Listener) {
	for _, l := range all {
		a, port := l.At.Addr(), l.At.Port()
		everywhere := a.IsUnspecified() && (a.Is6() || s.Address.Is4())
		query := l.Protocol == balancer.UDP && s.First != s.Last && ephemeralFirst <= port && port <= ephemeralLast
		if l.Protocol == s.Protocol && s.First <= port && port <= s.Last && (a == s.Address || everywhere) && !query {
			met = append(met, l)
		}
	}
	slices.SortStableFunc(met, func(a, b Listener) int { return int(a.At.Port()) - int(b.At.Port()) })
	return slices.CompactFunc(met, func(a, b Listener) bool { return a.At.Port() == b.At.Port() })
}

// tell says what becomes of the listeners, as bpf/doc.go has it.
func tell(s *balancer.ServiceSpec, met []Listener, names map[uint64]string) string {
	var ports []string
	for i, l := range met {
		if i == 5 {
			ports = append(ports, fmt.Sprintf("and %d more", len(met)-i))
			break
		}
		port := fmt.Sprint(l.At.Port())
		if name := names[l.inode]; name != "" {
			port += " (" + name + ")"
		}
		ports = append(ports, port)
	}
	what := "who comes by the served interface reaches the service, not them"
	if s.Protocol == balancer.UDP && s.First != s.Last {
		what = "what is sent to these ports reaches them, not the service"
	}
	return fmt.Sprintf("%s at %s:%s/%s, this machine's own address, has ports of this machine's own servers: %s; %s",
		s.Name, s.Address, s.Ports(), s.Protocol, strings.Join(ports, ", "), what)
}

// owners returns the names of the processes that have the sockets, as far as this one may
// see them.
func owners(proc string, inodes map[uint64]bool) map[uint64]string {
	names := map[uint64]string{}
	if len(inodes) == 0 {
		return names
	}
	processes, _ := os.ReadDir(proc)
	for _, p := range processes {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		files, _ := os.ReadDir(proc + "/" + p.Name() + "/fd") // another user's, or gone
		for _, f := range files {
			to, _ := os.Readlink(proc + "/" + p.Name() + "/fd/" + f.Name())
			var inode uint64
			if _, err := fmt.Sscanf(to, "socket:[%d]", &inode); err != nil || !inodes[inode] || names[inode] != "" {
				continue
			}
			name, _ := os.ReadFile(proc + "/" + p.Name() + "/comm")
			names[inode] = strings.TrimSpace(string(name))
		}
		if len(names) == len(inodes) {
			break
		}
	}
	return names
}

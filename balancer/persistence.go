package balancer

import (
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/afxlb/afxlb/internal/packet"
)

// PersistenceSpec has a client stay with one backend over all its connections, whatever
// the algorithm. The zero value does not.
type PersistenceSpec struct {
	// Timeout is how long a client that has no connection any more is remembered; 0: there
	// is no persistence.
	Timeout time.Duration
	// Prefix4 and Prefix6 are how many bits of a client's address count: those who share
	// them are one client.
	Prefix4, Prefix6 int
	// Group names services whose clients stay with one backend over all of them, by its
	// address; empty: the service alone.
	Group string
}

// The longest prefixes, which are the default ones too: each address is a client. And the
// longest time, within which the engine's clock does not go round.
const (
	MaxPrefix4     = 32
	MaxPrefix6     = 128
	MaxPersistence = 30 * 24 * time.Hour
)

// persistence is what a [Service] knows of its clients' persistence.
type persistence struct {
	timeout uint32 // ms
	group   uint64
	mask4   packet.Addr
	mask6   packet.Addr
	places  map[seat]uint32 // IDs of the backends in rotation
}

// seat is where a backend serves. Under port 0 an address has its first backend.
type seat struct {
	address packet.Addr
	port    uint16
}

// newPersistence returns the persistence of s; nil: it has none.
func newPersistence(s *ServiceSpec) *persistence {
	if s.Persistence.Timeout == 0 {
		return nil
	}
	whose := "service " + s.Key().String()
	if s.Persistence.Group != "" {
		whose = "group " + s.Persistence.Group
	}
	return &persistence{
		timeout: uint32(s.Persistence.Timeout.Milliseconds()), group: xxhash.Sum64String(whose),
		mask4: mask(8*16 - MaxPrefix4 + s.Persistence.Prefix4), mask6: mask(s.Persistence.Prefix6),
	}
}

func (v *validator) persistence(s *ServiceSpec) {
	p := &s.Persistence
	if *p == (PersistenceSpec{}) {
		return
	}
	if p.Timeout <= 0 || p.Timeout > MaxPersistence {
		v.addf("persistence.timeout", "%v is no time to remember a client; want up to %v", p.Timeout, MaxPersistence)
	}
	if p.Prefix4 < 1 || p.Prefix4 > MaxPrefix4 || p.Prefix6 < 1 || p.Prefix6 > MaxPrefix6 {
		v.addf("persistence.prefix", "%d/%d are no prefixes of IPv4 and IPv6; want 1/1 to %d/%d", p.Prefix4, p.Prefix6, MaxPrefix4, MaxPrefix6)
	}
	if p.Group == "" {
		return
	}
	v.name("persistence.group", p.Group)
	first := v.groups[p.Group]
	if first == nil {
		v.groups[p.Group] = s
		return
	}
	if q := &first.Persistence; q.Prefix4 != p.Prefix4 || q.Prefix6 != p.Prefix6 {
		v.addf("persistence.prefix", "%d/%d, but service %q of the same group %q has %d/%d; want one for the group",
			p.Prefix4, p.Prefix6, first.Name, p.Group, q.Prefix4, q.Prefix6)
	}
}

// mask returns the address of which the first bits are set.
func mask(bits int) (m packet.Addr) {
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// seat notes who is in rotation.
func (s *Service) seat(backends []Backend) {
	p := s.persistence
	if p == nil {
		return
	}
	p.places = make(map[seat]uint32, 2*len(s.Eligible()))
	for _, id := range s.Eligible() {
		b := &backends[id]
		for _, port := range [...]uint16{b.Port, 0} {
			if _, taken := p.places[seat{b.Address, port}]; !taken {
				p.places[seat{b.Address, port}] = id
			}
		}
	}
}

// Persists reports whether the service's clients stay with one backend.
func (s *Service) Persists() bool { return s.persistence != nil }

// Client returns what a client of the service is remembered by: the group that knows it,
// its network, and for how many milliseconds. The service must persist.
func (s *Service) Client(a packet.Addr) (group uint64, net packet.Addr, timeout uint32) {
	p := s.persistence
	m := &p.mask6
	if a.Is4() {
		m = &p.mask4
	}
	for i := range a {
		a[i] &= m[i]
	}
	return p.group, a, p.timeout
}

// Seat returns the backend in rotation that serves at the address and port or, as in
// another service of the group, at the address.
func (s *Service) Seat(address packet.Addr, port uint16) (id uint32, ok bool) {
	if id, ok = s.persistence.places[seat{address, port}]; !ok {
		id, ok = s.persistence.places[seat{address, 0}]
	}
	return id, ok
}

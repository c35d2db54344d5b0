package balancer

import (
	"sort"

	"github.com/afxlb/afxlb/internal/packet"
)

// Table is one generation of all that a worker must know about services and
// backends. It is never written after [Compiler.Compile] has returned it, and so
// may be read by everyone. The zero value has no services.
type Table struct {
	Generation uint64         // counts the tables of a Compiler from 1
	Ports      [MaxPorts]Port // that are served
	Links      *Links         // that hop words name; of all tables of a Compiler
	Services   []Service      // in the Spec's order
	Ephemeral  Ports          // as of the Facts

	// Backends, Keys and Refs go by backend ID, over all services. IDs of backends that
	// are gone keep their place, since flows may still name them; an ID that some
	// table had is within the bounds of every later one.

	Backends []Backend
	Keys     []BackendKey // what they are
	Refs     []BackendRef // what they are called

	Tunnels []Tunnel // by [Backend.Tunnel]; the first is none

	exact     map[place]uint32         // services of a single port: index into Services
	wide      map[place][]portSpan     // the others, under port 0; sorted, so any comes first
	addresses map[packet.Addr]struct{} // of services
	sources   map[packet.Addr]struct{} // of backends
	speakers  map[packet.Addr]struct{} // sources of full NAT
	gateways  map[uint64]struct{}      // hop words of routers
	limits    []uint32                 // by backend ID: connections that it may have, 0: any; nil: all may have any
	spreads   spreads                  // that hop words of spreadLink name
	senders   map[sender]struct{}      // of what comes from backends on the link
}

// place is where a packet is sent to. It has no pointer, no padding, and compares
// as plain memory.
type place struct {
	address     packet.Addr
	port, proto uint16
}

// portSpan is the ports of a service that has more than one.
type portSpan struct {
	first, last uint16
	service     uint32 // index into Services
}

// Lookup returns the service that a packet to k's destination belongs to: the one
// with exactly this port, or else the one whose range has it, or else the one that
// takes any port; nil if there is none.
func (t *Table) Lookup(k *packet.Key) *Service {
	at := place{address: k.Dst, port: k.DstPort, proto: uint16(k.Proto)}
	if i, ok := t.exact[at]; ok {
		return &t.Services[i]
	}
	at.port = 0
	spans := t.wide[at]
	// Ranges don't overlap each other, so only the last one that starts at or
	// before the port can have it.
	n := sort.Search(len(spans), func(i int) bool { return spans[i].first > k.DstPort })
	if n == 0 {
		return nil
	}
	for _, s := range [...]portSpan{spans[n-1], spans[0]} {
		if k.DstPort <= s.last {
			return &t.Services[s.service]
		}
	}
	return nil
}

// HasAddress reports whether some service has the address.
func (t *Table) HasAddress(a *packet.Addr) bool {
	_, ok := t.addresses[*a]
	return ok
}

// HasBackend reports whether some backend has the address, one that is gone but still
// named by a flow included: only from such a one comes a reply.
func (t *Table) HasBackend(a *packet.Addr) bool {
	_, ok := t.sources[*a]
	return ok
}

// SpeaksFrom reports whether a is the balancer's own, towards backends of full NAT: nobody
// else's packet has it for a source.
func (t *Table) SpeaksFrom(a *packet.Addr) bool {
	_, ok := t.speakers[*a]
	return ok
}

// Flags say what is known about a [Backend].
type Flags uint8

// The flags of a backend.
const (
	Present Flags = 1 << iota // the Spec has it; without, only flows remember it
	Usable                    // present, and not known to be down: its flows may go on
	Up                        // known to be healthy, and HasMAC: it can serve
	Suspect                   // down together with all others of its service: flows stay
	HasMAC                    // its next hop is known and fit for the mode
	Drained                   // without a weight for so long that flows which can leave it do
)

// Backend is what a worker needs in order to send a packet to a backend. It has no
// pointer.
type Backend struct {
	Address packet.Addr
	Next    uint64 // hop word of the way to Address; NoHop without HasMAC
	Source  uint64 // MAC address of the frames that go there
	Service uint32 // index into Services; NoService if that is gone
	Tunnel  uint32 // index into Tunnels; 0: packets go as they are
	Port    uint16 // 0: the packet's own
	Weight  uint16
	Mode    Mode
	Flags   Flags
}

// NoService is the Service of a backend whose service does not exist any more.
const NoService = ^uint32(0)

// Service is one service of a [Table].
type Service struct {
	ID          uint32 // the same in every generation that has this service
	Name        string
	Address     packet.Addr
	First, Last uint16
	Protocol    Protocol
	Mode        Mode
	Algorithm   Algorithm
	OnNoBackend OnNoBackend
	OnDown      OnDown
	Affinity    Affinity
	// SnatAddresses and SnatPorts are what flows get for a source; FullNAT only.
	SnatAddresses []packet.Addr
	SnatPorts     Ports
	Backends      []uint32 // IDs of all its backends, in the Spec's order
	// Warming: nobody is in rotation, but of some backend with a weight it is not known
	// yet whether it can serve.
	Warming bool

	selection   *selection
	persistence *persistence // nil: none
}

// Eligible returns the IDs of the backends that new flows may go to: those that
// are up and have a weight, in the Spec's order. The slice is the table's own.
func (s *Service) Eligible() []uint32 {
	if s.selection == nil {
		return nil
	}
	return s.selection.ids
}

// consistentSeed has no meaning; but all balancers must use the same, always.
const consistentSeed = 0x6d61676c65763634

// Consistent returns the ID of the backend for a packet k of a flow that nobody
// remembers, by the service's consistent hash, which every balancer with the same Spec
// and the same view of the backends agrees on: of the 5-tuple, or with SourceHash of the
// client's address alone. It is over all backends with a weight that are not known to be
// unable to serve; only if there is no such one, over those that are suspects. It returns
// false if there is none of these either.
func (s *Service) Consistent(k *packet.Key) (id uint32, ok bool) {
	if s.selection == nil || s.selection.midstream == nil {
		return 0, false
	}
	return s.selection.midstream.at(s.hash(k)), true
}

// hash returns what the service's consistent hash goes by.
func (s *Service) hash(k *packet.Key) uint64 {
	if s.Algorithm == SourceHash {
		client := packet.Key{Src: k.Src}
		return client.Hash(consistentSeed)
	}
	return k.Hash(consistentSeed)
}

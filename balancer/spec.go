package balancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// Spec is what the user wants: plain data that says nothing about the state of
// the world. The same config always gives the same Spec.
type Spec struct {
	Services []ServiceSpec
	// Neighbours say where to send packets for an address, whatever the kernel knows.
	Neighbours map[netip.Addr]StaticHop
}

// StaticHop is a next hop that the user names: the address itself, or a router that takes
// its place.
type StaticHop struct {
	MAC  packet.MAC
	Port string // name of a served interface; empty: the first
	Tags packet.Tags
	MTU  uint16 // of packets that go there; 0: the port's
}

// RepliesReturn reports whether the backends' answers of any service come back through the
// balancer.
func (s *Spec) RepliesReturn() bool {
	return slices.ContainsFunc(s.Services, func(s ServiceSpec) bool { return s.Mode.Traits().RepliesReturn })
}

// MaxPort is the last port of a service that takes every port; its first is 0.
const MaxPort = 65535

// ServiceSpec is one service: an address that clients talk to, and the backends
// that answer.
type ServiceSpec struct {
	Name        string
	Address     netip.Addr // the VIP
	Announce    Announce   // of the address; services with the same one may leave it to one of them
	First, Last uint16     // ports, both included; equal for a single one, 0 and MaxPort for any
	Protocol    Protocol
	Mode        Mode
	Algorithm   Algorithm
	OnNoBackend OnNoBackend
	OnDown      OnDown
	// DrainTime is how long flows that nobody ends, which are those of UDP, may stay at a
	// backend after its weight has become 0.
	DrainTime   time.Duration
	SlowStart   time.Duration // in which the share of a backend that is back grows to its weight's; 0: at once
	MinHealthy  MinHealthy
	BelowMin    BelowMinHealthy // meaningless without MinHealthy
	Persistence PersistenceSpec
	Affinity    Affinity
	// SnatAddresses are the balancer's own addresses towards the backends, and SnatPorts
	// the ports that flows get there, see SourcePorts. FullNAT only.
	SnatAddresses []netip.Addr
	SnatPorts     Ports
	// TunnelSources are where packets in tunnels come from: one address or network of
	// each family, as [packet.TunnelConfig] has it. Of a family without, it is the
	// machine's own address that its routes prefer. Modes that encapsulate only.
	TunnelSources []netip.Prefix
	GUE           GUESpec // GUE only
	Health        HealthSpec
	Backends      []BackendSpec
}

// Equal reports whether o says the very same. What is nil here and empty there may count as
// different: then nothing has been saved.
func (s *ServiceSpec) Equal(o *ServiceSpec) bool {
	if !slices.Equal(s.Backends, o.Backends) { // by far the most, and reflection is slow
		return false
	}
	a, b := *s, *o
	a.Backends, b.Backends = nil, nil
	return reflect.DeepEqual(&a, &b)
}

// GUESpec says how mode GUE puts packets into UDP.
type GUESpec struct {
	Port     uint16 // destination port
	Variant  uint8  // of the header: 1 has none but UDP's, as fou of Linux
	Checksum bool   // UDP's is computed, and not 0
}

// BackendSpec is one server of a service.
type BackendSpec struct {
	Name    string
	Address netip.Addr
	Port    uint16 // 0: the port that the client asked for
	Weight  uint16 // share of new flows; 0 drains: old flows stay, no new ones come
	// Backup backends get new flows while no other is in rotation.
	Backup bool
	// MaxConns is how many connections it may have: one that has as many gets no new ones.
	// 0: any. TCP only.
	MaxConns uint32
}

// BackendRef names a backend of a service, for people. What it is, is a [BackendKey].
type BackendRef struct {
	Service, Backend string
}

// Ports is a range of ports, both ends included.
type Ports struct{ First, Last uint16 }

// SourcePorts returns the ports that flows get at the snat-addresses: by default all that
// need no privileges.
func (s *ServiceSpec) SourcePorts() Ports { return cmp.Or(s.SnatPorts, Ports{1024, MaxPort}) }

// AnyPort reports whether the service takes every port of its address.
func (s *ServiceSpec) AnyPort() bool { return s.First == 0 && s.Last == MaxPort }

// Probe returns where the backend's health is probed. The port is 0 if nothing
// says which: the service has several ports, and neither the backend nor the
// health check names one.
func (s *ServiceSpec) Probe(b *BackendSpec) netip.AddrPort {
	port := s.Health.Port
	if port == 0 {
		port = s.Target(b)
	}
	return netip.AddrPortFrom(b.Address, port)
}

// Target returns the port on which the backend gets the service's traffic, 0 if
// there are several.
func (s *ServiceSpec) Target(b *BackendSpec) uint16 {
	if b.Port == 0 && s.First == s.Last {
		return s.First
	}
	return b.Port
}

// Ports returns the service's ports as the config writes them: 80, 8000-8099 or any.
func (s *ServiceSpec) Ports() string { return ports(s.First, s.Last) }

func ports(first, last uint16) string {
	switch {
	case first == 0 && last == MaxPort:
		return "any"
	case first == last:
		return strconv.Itoa(int(first))
	default:
		return fmt.Sprintf("%d-%d", first, last)
	}
}

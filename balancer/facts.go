package balancer

import (
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// Facts is what is known of the world.
type Facts struct {
	Ports []Port // at most MaxPorts
	// States are the backends' health. One that is missing is unknown, or up if its
	// service does not probe. [Trusted] says when to call unknown ones up all the same.
	States map[BackendKey]State
	// NextHops say where to send packets for a backend's address. One that is missing
	// is not known yet; the zero NextHop says that there is none.
	NextHops map[netip.Addr]NextHop
	// Ways are all next hops of those of these addresses whose route has several that are
	// known.
	Ways map[netip.Addr][]Way
	// Weights are the effective weights of the backends whose weight is not the Spec's now.
	Weights map[BackendKey]uint16
	// Ramps say of which backends new flows have only a part of what their weight gives them,
	// in steps of RampSteps.
	Ramps map[BackendKey]uint8
	// Drained are the backends without a weight whose time to drain is over.
	Drained map[BackendKey]bool
	// Gateways are the routers that the machine's routes name: what comes from clients
	// beyond a link comes from one of them.
	Gateways []Station
	// Ephemeral are the ports that the kernel gives to the machine's own connections; the
	// zero value: to none.
	Ephemeral Ports
	// Oldest is the oldest generation that a worker may still be reading; 0 if
	// all of them read the newest. No ID is given to another backend while a
	// worker may take it for the old one.
	Oldest uint64
}

// Station is somebody on a link.
type Station struct {
	MAC  packet.MAC
	Link Link
}

// NextHop is where packets for an address go on a link.
type NextHop struct {
	MAC    packet.MAC // zero: no way leads there by a served interface
	Link   Link
	OnLink bool       // the address itself is the next hop; without, a router is
	Source packet.MAC // of the frames that go there; zero: the port's
	Own    netip.Addr // the machine's own address that the route prefers as a source; invalid: none
}

// fits reports whether packets of s for a backend can be sent this way.
func (h *NextHop) fits(s *ServiceSpec, backend netip.Addr) bool {
	mode := s.Mode.Traits()
	return h.MAC != packet.MAC{} && (h.OnLink || !mode.NeedsLink) && (!mode.Encapsulates || s.TunnelSource(backend, h.Own).IsValid())
}

// weight returns the effective weight of b, whose key this is.
func (f *Facts) weight(b *BackendSpec, key *BackendKey) uint16 {
	if w, ok := f.Weights[*key]; ok {
		return w
	}
	return b.Weight
}

// RampSteps is in how many steps a backend that is back comes to its share.
const RampSteps = 20

// ramp returns how many steps of it the backend with the key has.
func (f *Facts) ramp(key *BackendKey) uint8 {
	if n, ok := f.Ramps[*key]; ok {
		return min(max(n, 1), RampSteps)
	}
	return RampSteps
}

// standing is what a backend's health and next hop together amount to. A backend can
// serve if it is ready, and cannot if it is out; what is in between is not known.
type standing uint8

const (
	out     standing = iota // down, or no way leads there
	suspect                 // down together with all others of its service
	pending                 // health or next hop are not known yet
	ready
)

// standing returns the standing of the backend that key is, a backend of s.
func (f *Facts) standing(s *ServiceSpec, key *BackendKey) (standing, State) {
	state, told := f.States[*key]
	if !told && s.Health.Type == HealthNone {
		state = StateUp
	}
	hop, known := f.NextHops[key.Address]
	switch {
	case state == StateDown || known && !hop.fits(s, key.Address):
		return out, state
	case state == StateSuspect:
		return suspect, state
	case state == StateUnknown || !known:
		return pending, state
	default:
		return ready, state
	}
}

package replay

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// world is the balancer and what it takes for true.
type world struct {
	spec     balancer.Spec // of its own
	facts    balancer.Facts
	compiler *balancer.Compiler
	engine   *engine.Engine
	clock    engine.Clock
	steering *bpf.Offline
	device   *punt.Device
	ports    []string                              // by name
	learned  []bool                                // by port: its MAC address is known
	macs     []packet.MAC                          // that frames are judged by
	own      []netip.Addr                          // the machine's addresses
	guessed  []netip.Addr                          // backends whose next hops are made up
	sources  []netip.Addr                          // made-up addresses of the machine
	drains   map[balancer.BackendKey]time.Duration // since when those without a weight have none
}

// ephemeral are the ports that Linux gives to connections, unless told otherwise.
var ephemeral = balancer.Ports{First: 32768, Last: 60999}

// newWorld returns one in which all backends are up.
func newWorld(o *Options, wires []*Wire) (*world, error) {
	loads := balancer.NewLoads()
	v := &world{
		spec: copySpec(o.Spec), compiler: balancer.NewCompiler(loads), clock: engine.NewManualClock(), ports: o.Ports, macs: o.MACs, own: o.Addresses,
		drains: map[balancer.BackendKey]time.Duration{},
		facts: balancer.Facts{
			States:   map[balancer.BackendKey]balancer.State{},
			NextHops: map[netip.Addr]balancer.NextHop{},
			Drained:  map[balancer.BackendKey]bool{}, Ephemeral: ephemeral,
		},
	}
	var sockets [][]*xsk.Socket
	for i := range o.Ports {
		// A made-up MAC address until it is known: see learn.
		port := balancer.Port{MAC: packet.MAC{2, 0, 0, 0, 0xff, byte(i)}, MTU: o.MTU}
		if i < len(o.MACs) {
			port.MAC = o.MACs[i]
		}
		v.facts.Ports, v.learned = append(v.facts.Ports, port), append(v.learned, i < len(o.MACs))
		sockets = append(sockets, []*xsk.Socket{wires[i].socket})
	}
	for s, b := range v.backends() {
		v.facts.States[s.BackendKey(b)] = balancer.StateUp
		v.reach(b.Address)
		v.source(s, b.Address)
	}
	var err error
	if v.steering, err = bpf.NewOffline(); err != nil {
		return nil, err
	}
	if v.device, err = nowhere(); err != nil {
		return nil, err
	}
	c := o.Engine
	c.Loads, c.Clock, c.Device = loads, v.clock, v.device
	if v.engine, err = engine.NewOffline(c, sockets...); err != nil {
		return nil, err
	}
	return v, v.apply()
}

// nowhere returns a way back to a kernel that forwards: what is put there is gone.
func nowhere() (*punt.Device, error) {
	fd, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	return punt.NewFake(packet.MAC{}, true, fd), nil
}

func copySpec(s *balancer.Spec) balancer.Spec {
	out := *s
	out.Services = slices.Clone(s.Services)
	for i := range out.Services {
		out.Services[i].Backends = slices.Clone(out.Services[i].Backends)
	}
	return out
}

// backends are all of the spec's, with their services.
func (v *world) backends() iter.Seq2[*balancer.ServiceSpec, *balancer.BackendSpec] {
	return func(yield func(*balancer.ServiceSpec, *balancer.BackendSpec) bool) {
		for i := range v.spec.Services {
			s := &v.spec.Services[i]
			for j := range s.Backends {
				if !yield(s, &s.Backends[j]) {
					return
				}
			}
		}
	}
}

// reach makes the way to a known: the one that the spec names, or a made-up one.
func (v *world) reach(a netip.Addr) {
	hop := balancer.NextHop{MAC: madeUp(a), OnLink: true}
	if h, ok := v.spec.Neighbours[a]; ok {
		hop = balancer.NextHop{} // by no port that is served
		if i := max(0, slices.Index(v.ports, h.Port)); h.Port == "" || v.ports[i] == h.Port {
			hop = control.StaticHop(&h, i)
		}
	} else if !slices.Contains(v.guessed, a) {
		v.guessed = append(v.guessed, a)
	}
	hop.Own = v.ownFor(a)
	v.facts.NextHops[a] = hop
}

// ownFor returns the machine's own address towards a backend: the first that was named of its
// family, or one that no machine has. For IPv4 it is the dummy of RFC 7600, 4.8, for IPv6
// one of those that are to be discarded (RFC 6666).
func (v *world) ownFor(a netip.Addr) netip.Addr {
	for _, own := range v.own {
		if own.Is4() == a.Is4() {
			return own
		}
	}
	if a.Is4() {
		return netip.AddrFrom4([4]byte{192, 0, 0, 8})
	}
	return netip.AddrFrom16([16]byte{0: 1, 15: 8})
}

// source notes that tunnels of s to a backend come from a made-up address.
func (v *world) source(s *balancer.ServiceSpec, a netip.Addr) {
	own := v.ownFor(a)
	if s.Mode.Traits().Encapsulates && !s.TunnelSource(a, netip.Addr{}).IsValid() && !slices.Contains(v.own, own) && !slices.Contains(v.sources, own) {
		v.sources = append(v.sources, own)
	}
}

// madeUp returns a MAC address for an address that the config says none of: 02:00, as a
// local one, and the last four bytes.
func madeUp(a netip.Addr) packet.MAC {
	b := a.As16()
	return packet.MAC{2, 0, b[12], b[13], b[14], b[15]}
}

// learn takes the MAC address for a port's own, if none is known.
func (v *world) learn(port int, mac packet.MAC) error {
	if v.learned[port] {
		return nil
	}
	v.learned[port], v.facts.Ports[port].MAC = true, mac
	return v.apply()
}

// apply puts in force what is true now, by the road of a running balancer.
func (v *world) apply() error {
	plan, err := control.Plan(&v.spec, v.own, v.macs, ephemeral)
	if err != nil {
		return err
	}
	v.facts.Oldest = v.engine.Oldest()
	facts := v.shared()
	draft, err := v.compiler.Compile(&v.spec, &facts)
	if err != nil {
		return fmt.Errorf("make a balancing table: %w", err)
	}
	v.compiler.Commit(draft)
	if err := v.steering.Apply(plan); err != nil {
		return err
	}
	return v.engine.Apply(draft.Table, plan)
}

// shared returns the facts with who gets new flows: backup backends and min-healthy are as in
// a running balancer, which decides it by the same code. Nobody is in a slow-start.
func (v *world) shared() balancer.Facts {
	facts := v.facts
	facts.States, facts.Weights = maps.Clone(v.facts.States), map[balancer.BackendKey]uint16{}
	for i := range v.spec.Services {
		s := &v.spec.Services[i]
		all := make([]control.Candidate, len(s.Backends))
		for j := range all {
			b := &s.Backends[j]
			way := v.facts.NextHops[b.Address].MAC != packet.MAC{}
			all[j] = control.Candidate{State: control.BackendDown, Weight: b.Weight, Backup: b.Backup, Way: way}
			if way && v.facts.States[s.BackendKey(b)] == balancer.StateUp {
				all[j].State = control.BackendUp
			}
		}
		control.Fall(s, "", all) // nobody is unknown here
		for j := range all {
			key := s.BackendKey(&s.Backends[j])
			if facts.Weights[key] = all[j].Weight; all[j].Panicked {
				facts.States[key] = balancer.StateUp
			}
		}
	}
	return facts
}

// happen makes an event true, at a time, of the backends that it names. It returns those
// that will have drained, once their time to is over.
func (v *world) happen(e *Event, now time.Duration) (later []Event, err error) {
	for s, b := range v.backends() {
		if !names(e.Backend, s, b) {
			continue
		}
		switch key := s.BackendKey(b); e.Kind {
		case Down:
			v.facts.States[key] = balancer.StateDown
		case Up:
			v.facts.States[key] = balancer.StateUp
			v.reach(b.Address)
		case Unreachable:
			v.facts.NextHops[b.Address] = balancer.NextHop{}
		case Weight:
			b.Weight = e.Weight
			later = append(later, v.drain(s, b, now)...)
		case drained:
			since, drains := v.drains[key]
			v.facts.Drained[key] = drains && now-since >= s.DrainTime
		}
	}
	return later, v.apply()
}

// drain notes whether a backend has a weight, and returns when it will have drained.
func (v *world) drain(s *balancer.ServiceSpec, b *balancer.BackendSpec, now time.Duration) (later []Event) {
	key := s.BackendKey(b)
	if b.Weight > 0 {
		delete(v.drains, key)
		delete(v.facts.Drained, key)
	} else if _, drains := v.drains[key]; !drains {
		v.drains[key] = now
		later = append(later, Event{Kind: drained, Backend: s.Name + "/" + b.Name, After: now + s.DrainTime})
	}
	return later
}

// draining returns when those that begin without a weight will have drained.
func (v *world) draining() (later []Event) {
	for s, b := range v.backends() {
		later = append(later, v.drain(s, b, 0)...)
	}
	return later
}

// names reports whether a name stands for backend b of s.
func names(name string, s *balancer.ServiceSpec, b *balancer.BackendSpec) bool {
	return name == s.Name+"/"+b.Name || name == b.Name || name == b.Address.String()
}

// check says whether the backend that an event names is there.
func check(e *Event, spec *balancer.Spec) error {
	var known []string
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			if names(e.Backend, s, &s.Backends[j]) {
				return nil
			}
			known = append(known, s.Name+"/"+s.Backends[j].Name)
		}
	}
	const enough = 10
	if len(known) > enough {
		known = append(known[:enough], "...")
	}
	return fmt.Errorf("%w %q; there are %q", ErrNoBackend, e.Backend, known)
}

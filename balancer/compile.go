package balancer

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/internal/packet"
)

// Facts is what is known of the world. What is missing in a map is unknown.
type Facts struct {
	SourceMAC packet.MAC
	// Health of backends that are probed. One that is not known to be up is not
	// in rotation; [Trusted] says when to call it up all the same.
	Health map[BackendRef]State
	// NextHop is the MAC address to send packets for a backend's address to.
	NextHop map[netip.Addr]packet.MAC
	// Oldest is the oldest generation that a worker may still be reading; 0 if
	// all of them read the newest. No ID is given to another backend while a
	// worker may take it for the old one.
	Oldest uint64
}

// Compiler makes the generations of the [Table]. It gives IDs to services and
// backends, which they keep as long as they exist, and it makes selection tables
// anew only where something has changed. It may be used by one goroutine at a time.
type Compiler struct {
	loads      *Loads
	generation uint64
	services   *ids[string]
	backends   *ids[backendKey]
	selections map[string]*selection // of the last generation, by service name
}

// backendKey is a backend's identity. With another address it is another backend:
// its flows cannot go on there.
type backendKey struct {
	ref     BackendRef
	address netip.Addr
	port    uint16
}

// NewCompiler returns a Compiler without a generation. No ID is reused as long as
// loads counts a flow for it.
func NewCompiler(loads *Loads) *Compiler {
	return &Compiler{
		loads:    loads,
		services: newIDs[string]("services", MaxServices),
		backends: newIDs[backendKey]("backends", MaxBackends),
	}
}

// Compile makes the next generation. The error is [Problems] if the Spec is wrong,
// and otherwise says that there are not enough IDs; the last generation stays valid
// then.
func (c *Compiler) Compile(spec Spec, facts Facts) (*Table, error) {
	if problems := spec.Validate(); len(problems) > 0 {
		return nil, problems
	}
	serviceIDs, backendIDs, err := c.assign(&spec, facts.Oldest)
	if err != nil {
		return nil, err
	}
	c.generation++
	t := &Table{
		Generation: c.generation,
		SourceMAC:  facts.SourceMAC,
		Services:   make([]Service, len(spec.Services)),
		Backends:   make([]Backend, len(c.backends.owners)),
		Refs:       make([]BackendRef, len(c.backends.owners)),
		exact:      map[place]uint32{},
		wide:       map[place][]portSpan{},
		addresses:  map[packet.Addr]struct{}{},
		sources:    map[packet.Addr]struct{}{},
	}
	index := make(map[string]uint32, len(spec.Services))
	selections := make(map[string]*selection, len(spec.Services))
	for i := range spec.Services {
		s := &spec.Services[i]
		n := len(s.Backends)
		index[s.Name] = uint32(i)
		t.Services[i] = newService(s, serviceIDs[i], backendIDs[:n:n])
		t.file(uint32(i))
		r := t.fill(uint32(i), s, &facts)
		selections[s.Name] = c.selection(s.Name, r)
		t.Services[i].selection = selections[s.Name]
		backendIDs = backendIDs[n:]
	}
	c.selections = selections
	c.remember(t, index, &facts)
	for i := range t.Backends {
		t.sources[t.Backends[i].Address] = struct{}{}
	}
	for _, spans := range t.wide {
		slices.SortFunc(spans, func(a, b portSpan) int { return cmp.Compare(a.first, b.first) })
	}
	return t, nil
}

// assign returns the IDs of all services, and of all backends one service after
// the other.
func (c *Compiler) assign(spec *Spec, oldest uint64) (services, backends []uint32, err error) {
	var names []string
	var keys []backendKey
	for i := range spec.Services {
		s := &spec.Services[i]
		names = append(names, s.Name)
		for _, b := range s.Backends {
			keys = append(keys, backendKey{BackendRef{s.Name, b.Name}, b.Address, b.Port})
		}
	}
	oldest = min(cmp.Or(oldest, c.generation), c.generation)
	idle := func(id uint32) bool { return c.loads.Flows(id) == 0 }
	if backends, err = c.backends.assign(keys, c.generation+1, oldest, idle); err != nil {
		return nil, nil, err
	}
	services, err = c.services.assign(names, c.generation+1, oldest, func(uint32) bool { return true })
	return services, backends, err
}

func newService(s *ServiceSpec, id uint32, backends []uint32) Service {
	return Service{
		ID:          id,
		Name:        s.Name,
		Address:     packet.AddrFrom(s.Address),
		First:       s.First,
		Last:        s.Last,
		Protocol:    s.Protocol,
		Mode:        s.Mode,
		Algorithm:   s.Algorithm,
		OnNoBackend: s.OnNoBackend,
		OnDown:      s.OnDown,
		Backends:    backends,
	}
}

// file makes service i findable.
func (t *Table) file(i uint32) {
	s := &t.Services[i]
	at := place{address: s.Address, port: s.First, proto: uint16(s.Protocol)}
	if s.First == s.Last {
		t.exact[at] = i
	} else {
		at.port = 0
		t.wide[at] = append(t.wide[at], portSpan{first: s.First, last: s.Last, service: i})
	}
	t.addresses[s.Address] = struct{}{}
}

// fill writes the records of service i's backends and returns its rotation.
func (t *Table) fill(i uint32, s *ServiceSpec, facts *Facts) *rotation {
	r := &rotation{algorithm: s.Algorithm, slots: tableSize(s.Algorithm, len(s.Backends))}
	for j := range s.Backends {
		b, id := &s.Backends[j], t.Services[i].Backends[j]
		ref := BackendRef{s.Name, b.Name}
		record := Backend{
			Address: packet.AddrFrom(b.Address),
			Port:    b.Port,
			Service: i,
			Weight:  b.Weight,
			Mode:    s.Mode,
			Flags:   Present,
		}
		record.setMAC(b.Address, facts)
		if s.Health.Type == HealthNone || facts.Health[ref] == StateUp {
			record.Flags |= Up
			if b.Weight > 0 {
				r.names = append(r.names, b.Name)
				r.ids = append(r.ids, id)
				r.weights = append(r.weights, uint32(b.Weight))
			}
		}
		t.Backends[id], t.Refs[id] = record, ref
	}
	return r
}

func (b *Backend) setMAC(a netip.Addr, facts *Facts) {
	if mac, ok := facts.NextHop[a]; ok {
		b.MAC = mac
		b.Flags |= HasMAC
	}
}

// selection returns the selection for r: the last generation's if it serves.
func (c *Compiler) selection(service string, r *rotation) *selection {
	if last, ok := c.selections[service]; ok && last.serves(r) {
		return last
	}
	return newSelection(r)
}

// remember writes the records of backends that are gone: they have a service only
// if that still exists.
func (c *Compiler) remember(t *Table, index map[string]uint32, facts *Facts) {
	for id := range t.Backends {
		if t.Backends[id].Flags&Present != 0 {
			continue
		}
		owner := c.backends.owners[id].key
		service, ok := index[owner.ref.Service]
		if !ok {
			service = NoService
		}
		record := Backend{Address: packet.AddrFrom(owner.address), Port: owner.port, Service: service}
		if ok {
			record.Mode = t.Services[service].Mode
		}
		record.setMAC(owner.address, facts)
		t.Backends[id], t.Refs[id] = record, owner.ref
	}
}

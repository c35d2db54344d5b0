package balancer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/internal/packet"
)

// Compiler makes the generations of the [Table]. It gives IDs to services and
// backends, which they keep as long as they exist, and it makes selections anew only
// where something has changed. It may be used by one goroutine at a time.
type Compiler struct {
	loads *Loads
	links *Links
	last  generation
}

// generation is what the next table depends on of the last one.
type generation struct {
	number     uint64
	services   *ids[ServiceKey]
	backends   *ids[BackendKey]
	refs       []BackendRef        // by backend ID
	selections []*selection        // by service ID; nil for one that is gone
	tables     map[string][]uint16 // of the selections, by recipe
}

// Draft is a generation that is compiled but not in force yet.
type Draft struct {
	Table *Table
	next  generation
}

// NewCompiler returns a Compiler without a generation. No ID is reused as long as
// loads counts a flow for it.
func NewCompiler(loads *Loads) *Compiler {
	return &Compiler{loads: loads, links: NewLinks(), last: generation{
		services: newIDs[ServiceKey]("services", MaxServices),
		backends: newIDs[BackendKey]("backends", MaxBackends),
	}}
}

// Links returns the links that the hop words of all its tables name.
func (c *Compiler) Links() *Links { return c.links }

// Compile drafts the next generation. It changes nothing: a draft may be thrown away,
// and only [Compiler.Commit] makes it the one that others follow. The Spec must be valid
// ([Spec.Validate]). The error says that there are not enough IDs.
func (c *Compiler) Compile(spec *Spec, facts *Facts) (*Draft, error) {
	d := &Draft{next: generation{number: c.last.number + 1}}
	keys, serviceIDs, backendIDs, err := c.assign(d, spec, facts.Oldest)
	if err != nil {
		return nil, fmt.Errorf("compile generation %d: %w", d.next.number, err)
	}
	n := len(d.next.backends.keys)
	t := &Table{
		Generation: d.next.number,
		Links:      c.links,
		Ephemeral:  facts.Ephemeral,
		Services:   make([]Service, len(spec.Services)),
		Backends:   make([]Backend, n),
		Keys:       d.next.backends.keys,
		Refs:       make([]BackendRef, n),
		Tunnels:    make([]Tunnel, 1),
		exact:      make(map[place]uint32, len(spec.Services)),
		wide:       map[place][]portSpan{},
		addresses:  map[packet.Addr]struct{}{},
		sources:    map[packet.Addr]struct{}{},
		speakers:   map[packet.Addr]struct{}{},
		gateways:   make(map[uint64]struct{}, len(facts.Gateways)),
		senders:    map[sender]struct{}{},
	}
	d.Table, d.next.refs = t, t.Refs
	copy(t.Ports[:], facts.Ports)
	d.next.selections = make([]*selection, len(d.next.services.keys))
	slots := tables{last: c.last.tables, next: make(map[string][]uint16, len(c.last.tables))}
	var parts []part
	for i := range spec.Services {
		s, id := &spec.Services[i], serviceIDs[i]
		n := len(s.Backends)
		t.Services[i] = newService(s, id, backendIDs[:n:n])
		t.file(uint32(i))
		parts = t.fill(parts[:0], uint32(i), s, keys[:n], facts)
		t.Services[i].choose(c.last.selection(id), s, parts, &slots)
		t.Services[i].seat(t.Backends)
		d.next.selections[id] = t.Services[i].selection
		keys, backendIDs = keys[n:], backendIDs[n:]
	}
	d.next.tables = slots.next
	t.remember(spec, &c.last, &d.next, facts)
	for i := range t.Backends {
		t.sources[t.Backends[i].Address] = struct{}{}
	}
	t.origins(facts)
	for _, spans := range t.wide {
		slices.SortFunc(spans, func(a, b portSpan) int { return cmp.Compare(a.first, b.first) })
	}
	return d, nil
}

// Commit makes d the last generation, which the next one follows. It panics if another
// one was committed since d was compiled: its IDs may belong to others by now.
func (c *Compiler) Commit(d *Draft) {
	if d.next.number != c.last.number+1 {
		panic(fmt.Sprintf("balancer: commit of a draft of generation %d after generation %d", d.next.number, c.last.number))
	}
	c.last = d.next
}

// assign gives IDs to all services, and to all backends one service after the other,
// whose keys it returns too.
func (c *Compiler) assign(d *Draft, spec *Spec, oldest uint64) (backendKeys []BackendKey, services, backends []uint32, err error) {
	n := 0
	for i := range spec.Services {
		n += len(spec.Services[i].Backends)
	}
	serviceKeys := make([]ServiceKey, 0, len(spec.Services))
	backendKeys = make([]BackendKey, 0, n)
	for i := range spec.Services {
		s := &spec.Services[i]
		serviceKeys = append(serviceKeys, s.Key())
		for j := range s.Backends {
			backendKeys = append(backendKeys, s.BackendKey(&s.Backends[j]))
		}
	}
	last := &c.last
	oldest = min(cmp.Or(oldest, last.number), last.number)
	idle := func(id uint32) bool { return c.loads.Flows(id) == 0 }
	if d.next.backends, backends, err = last.backends.assign(backendKeys, d.next.number, oldest, idle); err != nil {
		return nil, nil, nil, err
	}
	d.next.services, services, err = last.services.assign(serviceKeys, d.next.number, oldest, func(uint32) bool { return true })
	return backendKeys, services, backends, err
}

// selection returns the selection of the service with this ID; nil if there was none.
func (g *generation) selection(service uint32) *selection {
	if int(service) < len(g.selections) {
		return g.selections[service]
	}
	return nil
}

// choose gives the service its selection: the last generation's, if that serves.
func (s *Service) choose(last *selection, spec *ServiceSpec, parts []part, slots *tables) {
	s.selection = last
	if last.serves(spec.Algorithm, parts) {
		slots.keep(last.rotated)
		slots.keep(last.midstream)
	} else {
		s.selection = newSelection(spec, parts, slots)
	}
	s.Warming = len(s.selection.ids) == 0 && s.selection.warming()
}

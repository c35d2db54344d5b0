package balancer

import "github.com/afxlb/afxlb/internal/packet"

// The records of a [Table], each made of the Spec and the facts alone.

func newService(s *ServiceSpec, id uint32, backends []uint32) Service {
	var snat []packet.Addr
	for _, a := range s.SnatAddresses {
		snat = append(snat, packet.AddrFrom(a))
	}
	return Service{
		ID:            id,
		Name:          s.Name,
		Address:       packet.AddrFrom(s.Address),
		First:         s.First,
		Last:          s.Last,
		Protocol:      s.Protocol,
		Mode:          s.Mode,
		Algorithm:     s.Algorithm,
		OnNoBackend:   s.OnNoBackend,
		OnDown:        s.OnDown,
		Affinity:      s.Affinity,
		SnatAddresses: snat,
		SnatPorts:     s.SourcePorts(),
		Backends:      backends,
		persistence:   newPersistence(s),
	}
}

// file makes service i and its addresses findable.
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
	for _, a := range s.SnatAddresses {
		t.speakers[a] = struct{}{}
	}
}

// fill writes the records of service i's backends, and appends to parts what its
// selection depends on.
func (t *Table) fill(parts []part, i uint32, s *ServiceSpec, keys []BackendKey, facts *Facts) []part {
	for j := range s.Backends {
		b, key, id := &s.Backends[j], &keys[j], t.Services[i].Backends[j]
		record := t.newBackend(key, i, s, facts)
		record.Weight = facts.weight(b, key)
		record.Flags |= Present
		standing, state := facts.standing(s, key)
		switch state {
		case StateUnknown, StateUp:
			record.Flags |= Usable
		case StateSuspect:
			record.Flags |= Suspect
		}
		if standing == ready {
			record.Flags |= Up
		}
		if record.Weight == 0 && facts.Drained[*key] {
			record.Flags |= Drained
		}
		parts = append(parts, part{id: id, weight: record.Weight, ramp: facts.ramp(key), limit: b.MaxConns, standing: standing})
		if b.MaxConns > 0 {
			t.limit(id, b.MaxConns)
		}
		t.Backends[id], t.Refs[id] = record, BackendRef{s.Name, b.Name}
	}
	return parts
}

// newBackend returns the record of a backend of s that nothing but its place is known of.
func (t *Table) newBackend(key *BackendKey, service uint32, s *ServiceSpec, facts *Facts) Backend {
	b := Backend{Address: packet.AddrFrom(key.Address), Next: NoHop, Port: key.Port, Service: service, Mode: s.Mode}
	hop, ok := facts.NextHops[key.Address]
	if !ok || !hop.fits(s, key.Address) {
		return b
	}
	ways, link := facts.ways(key.Address, s.Mode), hop.Link
	c, tunnel := s.TunnelTo(key.Address, hop.Own)
	link.Tunnel = tunnel
	next, ok := t.word(&hop.MAC, link)
	if !ok {
		return b
	}
	if tunnel {
		b.Tunnel = t.tunnel(&c, hop.Link, ways)
	}
	b.Next, b.Source, b.Flags = next, t.source(&hop), HasMAC
	if several, ok := t.spread(ways); ok {
		b.Next = several
	}
	return b
}

// source returns the source MAC address of the frames that go by a hop.
func (t *Table) source(h *NextHop) uint64 {
	if mac := h.Source.Word(); mac != 0 {
		return mac
	}
	return t.Ports[h.Link.Port].MAC.Word()
}

// remember writes the records of backends that are gone: they have a service only
// if that still exists.
func (t *Table) remember(spec *Spec, last, next *generation, facts *Facts) {
	var byKey map[ServiceKey]uint32 // index into Services; made for the first one that is gone
	for id := range t.Backends {
		if t.Backends[id].Flags&Present != 0 {
			continue
		}
		if byKey == nil {
			byKey = make(map[ServiceKey]uint32, len(t.Services))
			for i := range t.Services {
				byKey[next.services.keys[t.Services[i].ID]] = uint32(i)
			}
		}
		key, ref, s := &t.Keys[id], last.refs[id], &ServiceSpec{}
		service, ok := byKey[key.Service]
		if ok {
			s = &spec.Services[service]
			ref.Service = s.Name
		} else {
			service = NoService
		}
		t.Backends[id], t.Refs[id] = t.newBackend(key, service, s, facts), ref
	}
}

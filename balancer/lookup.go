package balancer

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
)

// lookup is the consistent hash over some of a service's backends: a Maglev lookup
// table. It never changes once made.
//
// The slots do not hold IDs but positions among the backends in order of identity, so
// that all services whose backends have the same seeds and weights share one table.
type lookup struct {
	recipe string   // what the slots were made of
	slots  []uint16 // positions in ids; shared
	ids    []uint32 // in order of identity
}

// at returns the ID of the backend for a hash.
func (l *lookup) at(hash uint64) uint32 { return l.ids[l.slots[l.slot(hash)]] }

// slot returns the slot for a hash.
func (l *lookup) slot(hash uint64) uint64 {
	// The upper bits of the hash choose: as even as a modulo, without a division.
	slot, _ := bits.Mul64(hash, uint64(len(l.slots)))
	return slot
}

// member is a backend of a service, by its place in the Spec.
type member struct {
	index int
	seed  string
}

// members returns the service's backends in order of identity, each with the seed of its
// permutation: its address. So a client gets the same server at two services with the
// same servers, and from balancers whose files name them differently. Of several with
// one address the first by port has this seed, and each further one its rank behind it,
// as in 10.0.0.11#1. All of the Spec's backends count, or the others' seeds would change
// when one drains or goes down.
func members(s *ServiceSpec) []member {
	all := make([]member, len(s.Backends))
	for i := range all {
		all[i].index = i
	}
	slices.SortFunc(all, func(a, b member) int {
		x, y := &s.Backends[a.index], &s.Backends[b.index]
		return cmp.Or(x.Address.Compare(y.Address), cmp.Compare(s.Target(x), s.Target(y)))
	})
	rank := 0
	for i := range all {
		address := s.Backends[all[i].index].Address
		all[i].seed = address.String()
		if i > 0 && s.Backends[all[i-1].index].Address == address {
			rank++
			all[i].seed += "#" + strconv.Itoa(rank)
		} else {
			rank = 0
		}
	}
	return all
}

// tables are the slots of lookups by what they were made of: those of the last
// generation, and those that the next one has so far.
type tables struct {
	last, next map[string][]uint16
}

// keep says that the next generation has l.
func (t *tables) keep(l *lookup) {
	if l != nil {
		t.next[l.recipe] = l.slots
	}
}

// lookup returns the consistent hash, of m slots, over those of all that are chosen; nil
// if none is. Parts go by the members' index, and have so much of the slots as weigh says.
func (t *tables) lookup(all []member, parts []part, m uint32, chosen func(*part) bool, weigh func(*part) uint32) *lookup {
	l := &lookup{}
	var seeds []string
	var weights []uint32
	for _, b := range all {
		if p := &parts[b.index]; chosen(p) {
			seeds, weights, l.ids = append(seeds, b.seed), append(weights, weigh(p)), append(l.ids, p.id)
		}
	}
	if len(seeds) == 0 {
		return nil
	}
	shares := quotas(weights, m)
	var recipe []byte // the quotas' sum is m, which so is a part of it
	for i, seed := range seeds {
		recipe = append(append(recipe, seed...), '=')
		recipe = append(strconv.AppendUint(recipe, uint64(shares[i]), 10), ' ')
	}
	l.recipe = string(recipe)
	for _, known := range []map[string][]uint16{t.next, t.last} {
		if l.slots = known[l.recipe]; l.slots != nil {
			break
		}
	}
	if l.slots == nil {
		permutations := make([]permutation, len(seeds))
		for i, seed := range seeds {
			permutations[i] = permute(seed, m)
		}
		l.slots = populate(permutations, shares)
	}
	t.keep(l)
	return l
}

// Moved returns how many slots of a service's consistent hash have another owner in t than
// they had in the table was, and how many there are: 0, if its algorithm does not hash, or
// hashed something else before. A backend of which it is not known yet whether it can serve
// has its slots already, so that one that is new moves what it will move when it is up.
func (t *Table) Moved(service *Service, was *Table, before *Service) (moved, of int) {
	if !service.Algorithm.Hashes() || service.Algorithm != before.Algorithm {
		return 0, 0
	}
	now, then := service.selection.midstream, before.selection.midstream
	switch {
	case now == then: // shared by the two generations, as most are
		return 0, slots
	case now == nil || then == nil: // nobody has any
		return slots, slots
	}
	for i := range now.slots {
		if t.Keys[now.ids[now.slots[i]]] != was.Keys[then.ids[then.slots[i]]] {
			moved++
		}
	}
	return moved, len(now.slots)
}

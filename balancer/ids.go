package balancer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// ids gives things of one kind small numbers that they keep from generation to
// generation, also through an absence, until somebody else needs the number. It never
// changes once made: [ids.assign] returns the next generation's.
type ids[K comparable] struct {
	what  string // plural, for the error
	limit int
	byKey map[K]uint32
	keys  []K      // by ID: the present or, if absent, the last owner
	last  []uint64 // by ID: the generation that had it last
}

func newIDs[K comparable](what string, limit int) *ids[K] {
	return &ids[K]{what: what, limit: limit}
}

// assign returns the IDs of keys, which are all that exist in this generation, and the
// numbering that they belong to. A new key gets the ID of an owner that is absent, was
// so in every table that anybody still reads (those from generation oldest on), and
// whose ID is idle; the one that is absent for the longest goes first. Without such, it
// gets a fresh ID. Oldest is below generation.
func (n *ids[K]) assign(keys []K, generation, oldest uint64, idle func(id uint32) bool) (*ids[K], []uint32, error) {
	next := *n
	assigned := make([]uint32, len(keys))
	next.last = slices.Clone(n.last)
	var fresh []int // indexes of keys without an ID
	for i, k := range keys {
		if id, ok := n.byKey[k]; ok {
			assigned[i], next.last[id] = id, generation
		} else {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return &next, assigned, nil // with the same map and keys
	}
	free := next.free(len(fresh), func(id uint32) bool { return next.last[id] < oldest && idle(id) })
	if len(free) < len(fresh) {
		return nil, nil, fmt.Errorf("%d %s are new, but of %d IDs only %d are free: removed ones keep theirs while they have flows",
			len(fresh), n.what, n.limit, len(free))
	}
	if next.byKey, next.keys = maps.Clone(n.byKey), slices.Clone(n.keys); next.byKey == nil {
		next.byKey = make(map[K]uint32, len(fresh))
	}
	for j, i := range fresh {
		assigned[i] = free[j]
		next.give(free[j], keys[i], generation)
	}
	return &next, assigned, nil
}

// free returns up to want IDs that may be given away.
func (n *ids[K]) free(want int, reusable func(id uint32) bool) []uint32 {
	var free []uint32
	for id := range uint32(len(n.keys)) {
		if reusable(id) {
			free = append(free, id)
		}
	}
	slices.SortStableFunc(free, func(a, b uint32) int { return cmp.Compare(n.last[a], n.last[b]) })
	for id := len(n.keys); id < n.limit && len(free) < want; id++ {
		free = append(free, uint32(id))
	}
	return free
}

// give makes k the owner of id.
func (n *ids[K]) give(id uint32, k K, generation uint64) {
	if int(id) < len(n.keys) {
		delete(n.byKey, n.keys[id])
		n.keys[id], n.last[id] = k, generation
	} else {
		n.keys, n.last = append(n.keys, k), append(n.last, generation)
	}
	n.byKey[k] = id
}

package balancer

import (
	"cmp"
	"fmt"
	"slices"
)

// ids gives things of one kind small numbers that they keep from generation to
// generation, also through an absence, until somebody else needs the number.
type ids[K comparable] struct {
	what   string // plural, for the error
	limit  int
	byKey  map[K]uint32
	owners []owner[K] // by ID: the present or, if absent, the last owner
}

type owner[K comparable] struct {
	key  K
	last uint64 // generation that had it last
}

func newIDs[K comparable](what string, limit int) *ids[K] {
	return &ids[K]{what: what, limit: limit, byKey: map[K]uint32{}}
}

// assign returns the IDs of keys, which are all that exist in this generation. A
// new key gets the ID of an owner that is absent, was so in every table that
// anybody still reads (those from generation oldest on), and whose ID is idle;
// the one that is absent for the longest goes first. Without such, it gets a
// fresh ID. On an error nothing has changed.
func (n *ids[K]) assign(keys []K, generation, oldest uint64, idle func(id uint32) bool) ([]uint32, error) {
	assigned := make([]uint32, len(keys))
	present := make(map[K]bool, len(keys))
	var fresh []int // indexes of keys without an ID
	for i, k := range keys {
		present[k] = true
		if id, ok := n.byKey[k]; ok {
			assigned[i] = id
		} else {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) > 0 {
		free := n.free(len(fresh), func(id uint32, o *owner[K]) bool {
			return !present[o.key] && o.last < oldest && idle(id)
		})
		if len(free) < len(fresh) {
			return nil, fmt.Errorf("%d %s are new, but of %d IDs only %d are free: removed ones keep theirs while they have flows",
				len(fresh), n.what, n.limit, len(free))
		}
		for j, i := range fresh {
			n.give(free[j], keys[i])
			assigned[i] = free[j]
		}
	}
	for _, id := range assigned {
		n.owners[id].last = generation
	}
	return assigned, nil
}

// free returns up to want IDs that may be given away.
func (n *ids[K]) free(want int, reusable func(id uint32, o *owner[K]) bool) []uint32 {
	var free []uint32
	for i := range n.owners {
		if reusable(uint32(i), &n.owners[i]) {
			free = append(free, uint32(i))
		}
	}
	slices.SortStableFunc(free, func(a, b uint32) int { return cmp.Compare(n.owners[a].last, n.owners[b].last) })
	for id := len(n.owners); id < n.limit && len(free) < want; id++ {
		free = append(free, uint32(id))
	}
	return free
}

// give makes k the owner of id.
func (n *ids[K]) give(id uint32, k K) {
	if int(id) < len(n.owners) {
		delete(n.byKey, n.owners[id].key)
		n.owners[id].key = k
	} else {
		n.owners = append(n.owners, owner[K]{key: k})
	}
	n.byKey[k] = id
}

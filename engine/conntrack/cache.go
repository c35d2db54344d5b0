package conntrack

import "math/bits"

// Cache is a worker's exact-match cache (the term of OVS-DPDK) in front of the
// shards: sets of four slots, half a cache line, found by the key's hash. A slot is
// a hint, verified against the record behind it, so nothing ever needs to be
// invalidated across workers.
type Cache struct {
	sets [][ways]slot
	mask uint64
}

const ways = 4

// slot is a hash tag and the reference it stands for. The tag is never zero in
// a slot that is in use.
type slot struct {
	tag uint32
	ref Ref
}

func tag(hash uint64) uint32 { return uint32(hash>>32) | 1 }

// NewCache returns a cache for about n flow directions. Memory becomes resident
// as it fills: 8 bytes a slot.
func NewCache(n int) *Cache {
	sets := 1 << bits.Len(uint(max(n, 1024)/ways-1))
	return &Cache{sets: make([][ways]slot, sets), mask: uint64(sets - 1)}
}

// Warm loads the set of hash. A worker warms the whole batch first, so that the
// memory misses overlap; the result must be consumed, or the compiler drops the
// load.
func (c *Cache) Warm(hash uint64) uint32 { return c.sets[hash&c.mask][0].tag }

// Get returns the reference remembered for hash. It is a hint: another flow may
// have the same tag, and the record may be dead.
func (c *Cache) Get(hash uint64) (Ref, bool) {
	set, want := &c.sets[hash&c.mask], tag(hash)
	for i := range set {
		if set[i].tag == want {
			return set[i].ref, true
		}
	}
	return 0, false
}

// Put remembers r for hash: in the slot with the same tag, or in front, so that
// the set stays in order of insertion and its oldest falls out.
func (c *Cache) Put(hash uint64, r Ref) {
	set, want := &c.sets[hash&c.mask], tag(hash)
	last := 0
	for last < ways-1 && set[last].tag != want && set[last].tag != 0 {
		last++
	}
	copy(set[1:last+1], set[:last])
	set[0] = slot{want, r}
}

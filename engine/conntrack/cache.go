package conntrack

import (
	"math/bits"
	"math/rand/v2"
)

// Cache is a worker's exact-match cache (the term of OVS-DPDK) in front of the
// shards: sets of eight slots, a cache line each, found by the key's hash. A slot is
// a hint, verified against the record behind it, so nothing ever needs to be
// invalidated across workers.
type Cache struct{ sets []set8 }

const ways = 8

// set8 is one set. The tags of its slots lie next to each other, 16 bits each, so that
// all are compared at once and no branch depends on where in the set a flow is. The tag
// of a slot in use is never zero.
type set8 struct {
	tags [ways / lanes]uint64
	refs [ways]Ref
	_    [16]byte
}

// lanes is how many tags are in a word.
const lanes = 4

const (
	lowest  = 0x0001_0001_0001_0001 // bits of each lane
	highest = 0x8000_8000_8000_8000
)

// tag takes bits that choose neither the set nor the shard.
func tag(hash uint64) uint64 { return max(hash>>32&0xffff, 1) }

// zeros returns the highest bit of the first lane that is zero, and perhaps of further
// ones (Hacker's Delight, 6-1).
func zeros(x uint64) uint64 { return (x - lowest) & ^x & highest }

// NewCache returns a cache for about n flow directions. It has 2.5 times as many slots,
// so that one in a thousand is pushed out of its set by others; with twice as many it
// were five. Memory becomes resident as it fills: 20 bytes a direction.
func NewCache(n int) *Cache {
	c := new(Cache)
	c.sets = slab[set8](c, max(n*5/2/ways, 256))
	populate(c.sets)
	return c
}

// set returns the set of hash: the lower half of the hash, scaled to the number of sets
// (Lemire, Fast Random Integer Generation in an Interval, 2019).
func (c *Cache) set(hash uint64) *set8 {
	return &c.sets[uint64(uint32(hash))*uint64(len(c.sets))>>32]
}

// Get returns the reference remembered for hash, and any if there is none: it is a hint
// in either case, since another flow may have the same tag, and the record may be dead.
func (c *Cache) Get(hash uint64) Ref {
	s, want := c.set(hash), tag(hash)*lowest
	return s.refs[lane(zeros(s.tags[0]^want)>>8|zeros(s.tags[1]^want))]
}

// lane returns the number of a slot from the marks of both words: bits 7, 23, 39 and 55
// for the first one's lanes, 15, 31, 47 and 63 for the second's. Without a mark it is
// any.
func lane(found uint64) int {
	n := bits.TrailingZeros64(found)
	return (n>>4 | n>>1&4) & (ways - 1)
}

// Put remembers r for hash: in the slot with the same tag, else in a free one, else in
// any by chance. If it were the same one each time, two flows that keep coming would push
// each other out for ever once a flood of flows that never come again has filled the set.
func (c *Cache) Put(hash uint64, r Ref) {
	s, t := c.set(hash), tag(hash)
	found := zeros(s.tags[0]^t*lowest)>>8 | zeros(s.tags[1]^t*lowest)
	if found == 0 {
		found = zeros(s.tags[0])>>8 | zeros(s.tags[1])
	}
	var way int
	if found != 0 {
		way = lane(found)
	} else {
		way = rand.IntN(ways)
	}
	word, shift := &s.tags[way/lanes], way%lanes*16
	*word = *word&^(0xffff<<shift) | t<<shift
	s.refs[way] = r
}

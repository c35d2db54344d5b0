package conntrack

import (
	"math/rand/v2"
	"testing"
)

// inSet returns a hash that falls into the first set, with the tag.
func inSet(tag int) uint64 { return uint64(tag)<<32 | uint64(tag)<<48 }

func TestCacheFillsASetBeforeItForgets(t *testing.T) {
	c := NewCache(1024)
	for i := range ways {
		c.Put(inSet(i+1), Ref(i))
	}
	for i := range ways {
		if r := c.Get(inSet(i + 1)); r != Ref(i) {
			t.Errorf("entry %d: %v", i, r)
		}
	}
	c.Put(inSet(100), 100)
	if r := c.Get(inSet(100)); r != 100 {
		t.Errorf("the newest: %v", r)
	}
	kept := 0
	for i := range ways {
		if r := c.Get(inSet(i + 1)); r == Ref(i) {
			kept++
		}
	}
	if kept != ways-1 {
		t.Errorf("%d of %d are left after one more, want all but one", kept, ways)
	}
}

func TestCachePutReplacesTheSameTag(t *testing.T) {
	c := NewCache(1024)
	for i := range 10 {
		c.Put(inSet(7), Ref(i))
		c.Put(inSet(9), Ref(100+i))
	}
	if r := c.Get(inSet(7)); r != 9 {
		t.Errorf("got %v, want 9", r)
	}
	if s := &c.sets[0]; s.tags != [2]uint64{7, 9} {
		t.Errorf("tags %x: more than two slots are in use for 2 tags", s.tags)
	}
}

// The cache against a map: what was put last under a hash's set and tag is found at once,
// and later unless it was pushed out.
func TestCacheAgainstAMap(t *testing.T) {
	c, rng := NewCache(1), rand.New(rand.NewPCG(1, 1))
	last := map[uint64]Ref{} // by set and tag
	place := func(h uint64) uint64 { return uint64(uint32(h))*uint64(len(c.sets))>>32<<16 | tag(h) }
	tags := []uint64{0, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x100, 0x101, 0xff, 42}
	found, asked := 0, 0
	for i := range 1_000_000 {
		h := rng.Uint64()&^(0xffff<<32) | tags[rng.IntN(len(tags))]<<32
		if i%2 == 0 {
			c.Put(h, Ref(i))
			last[place(h)] = Ref(i)
			if r := c.Get(h); r != Ref(i) {
				t.Fatalf("step %d, hash %#x: got %v right after it was put there", i, h, r)
			}
		} else if want, was := last[place(h)]; was {
			asked++
			if c.Get(h) == want {
				found++
			}
		}
	}
	// Eleven tags want to be in the eight places of each set.
	if share := float64(found) / float64(asked); share < 0.65 || share > 0.8 {
		t.Errorf("%d of %d were still there", found, asked)
	}
}

// TestCacheAfterAFlood: flows that keep coming find places in a cache that is full of
// others that do not, as if these had never been.
func TestCacheAfterAFlood(t *testing.T) {
	const flows = 10_000
	rng := rand.New(rand.NewPCG(2, 2))
	misses := func(c *Cache) (n int) {
		known := rand.New(rand.NewPCG(3, 3))
		for i := range flows {
			if h := known.Uint64(); c.Get(h) != Ref(i) {
				c.Put(h, Ref(i))
				n++
			}
		}
		return n
	}
	fresh, flooded := NewCache(flows), NewCache(flows)
	for range 100 * flows {
		flooded.Put(rng.Uint64(), flows)
	}
	for range 20 {
		misses(fresh)
		misses(flooded)
	}
	if got, want := misses(flooded), misses(fresh); got > want+flows/100 {
		t.Errorf("%d of %d flows were not found, and %d without the flood", got, flows, want)
	}
}

// Prefetch must not touch what is not there, whatever the hash: the last set and the last
// record are at the end of their memory.
func TestPrefetchStaysInside(t *testing.T) {
	c, tab := NewCache(1), newTable(1, 1)
	c.Prefetch(nil)
	tab.Prefetch(nil)
	c.Prefetch([]uint64{0, 1, 1<<32 - 1, ^uint64(0)})
	ends := []Ref{0, ref(uint32(len(tab.flows)-1), Reply)}
	tab.Prefetch(ends)
	tab.PrefetchAddresses(ends)
}

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
		if r, ok := c.Get(inSet(i + 1)); !ok || r != Ref(i) {
			t.Errorf("entry %d: %v %v", i, r, ok)
		}
	}
	c.Put(inSet(100), 100)
	if r, ok := c.Get(inSet(100)); !ok || r != 100 {
		t.Errorf("the newest: %v %v", r, ok)
	}
	kept := 0
	for i := range ways {
		if r, ok := c.Get(inSet(i + 1)); ok && r == Ref(i) {
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
	if r, ok := c.Get(inSet(7)); !ok || r != 9 {
		t.Errorf("got %v %v, want 9", r, ok)
	}
	if s := &c.sets[0]; s.tags != [2]uint64{7, 9} {
		t.Errorf("tags %x: more than two slots are in use for 2 tags", s.tags)
	}
}

func TestCacheMissIsNotZero(t *testing.T) {
	for _, hash := range []uint64{0, 1, 1 << 32, ^uint64(0)} {
		if _, ok := NewCache(1).Get(hash); ok {
			t.Errorf("an empty cache knows the hash %#x", hash)
		}
	}
}

// The cache against a map: what it returns for a hash is the last that was put there,
// or, where that was pushed out, nothing or another of the same set and tag.
func TestCacheAgainstAMap(t *testing.T) {
	c, rng := NewCache(1), rand.New(rand.NewPCG(1, 1))
	last := map[uint64]Ref{} // by set and tag
	place := func(h uint64) uint64 { return uint64(uint32(h))*uint64(len(c.sets))>>32<<16 | tag(h) }
	tags := []uint64{0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x100, 0x101, 0xff, 42}
	hits := 0
	for i := range 1_000_000 {
		h := rng.Uint64()&^(0xffff<<32)&^(7<<29) | tags[rng.IntN(len(tags))]<<32
		if i%2 == 0 {
			c.Put(h, Ref(i))
			last[place(h)] = Ref(i)
		}
		r, ok := c.Get(h)
		if want, was := last[place(h)]; ok && (!was || r != want) || i%2 == 0 && !ok {
			t.Fatalf("step %d, hash %#x: got %v %v, want %v %v", i, h, r, ok, want, was)
		}
		if ok {
			hits++
		}
	}
	if hits < 500_000 || hits == 1_000_000 {
		t.Errorf("%d hits: the test did not see both outcomes", hits)
	}
}

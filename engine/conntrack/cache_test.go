package conntrack

import "testing"

func TestCacheKeepsTheNewestOfASet(t *testing.T) {
	c := NewCache(1024)
	hash := func(i int) uint64 { return uint64(i+1)<<33 | 5 } // all in one set
	for i := range 6 {
		c.Put(hash(i), Ref(i))
	}
	for i := range 6 {
		r, ok := c.Get(hash(i))
		if want := i >= 2; ok != want || ok && r != Ref(i) {
			t.Errorf("entry %d: %v %v", i, r, ok)
		}
	}
}

func TestCachePutReplacesTheSameTag(t *testing.T) {
	c := NewCache(1024)
	for i := range 10 {
		c.Put(7<<32|1, Ref(i))
		c.Put(9<<32|1, Ref(100+i))
	}
	if r, ok := c.Get(7<<32 | 1); !ok || r != 9 {
		t.Errorf("got %v %v, want 9", r, ok)
	}
	used := 0
	for _, s := range c.sets[1] {
		if s.tag != 0 {
			used++
		}
	}
	if used != 2 {
		t.Errorf("%d slots in use for 2 tags", used)
	}
}

func TestCacheMissIsNotZero(t *testing.T) {
	if _, ok := NewCache(1).Get(0); ok {
		t.Error("an empty cache knows the hash 0")
	}
}

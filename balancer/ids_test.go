package balancer

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func always(uint32) bool { return true }

// A naive model of who owns what, through random generations: keys keep their ID,
// no two have the same, and no ID changes hands while somebody may still use it for
// the former owner.
func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		n := newIDs[string]("letters", limit)
		type tenure struct {
			key  string
			last uint64
		}
		owners := map[uint32]tenure{}
		generation := uint64(0)
		for range 30 {
			generation++
			keys := rapid.SliceOfNDistinct(rapid.StringMatching("[a-j]"), 0, limit+1, rapid.ID).Draw(t, "keys")
			busy := rapid.Uint32().Draw(t, "busy IDs") & rapid.Uint32().Draw(t, "mask")
			idle := func(id uint32) bool { return busy>>id&1 == 0 }
			oldest := generation - 1 - min(generation-1, rapid.Uint64Range(0, 2).Draw(t, "lag"))

			available := limit - len(owners) // fresh ones
			wanted := 0
			present := map[string]bool{}
			for _, k := range keys {
				present[k] = true
				wanted++
				for _, o := range owners {
					if o.key == k {
						wanted--
					}
				}
			}
			for id, o := range owners {
				if !present[o.key] && o.last < oldest && idle(id) {
					available++
				}
			}
			before := *n
			next, assigned, err := n.assign(keys, generation, oldest, idle)
			if n.what != before.what || !maps.Equal(n.byKey, before.byKey) || !slices.Equal(n.keys, before.keys) || !slices.Equal(n.last, before.last) {
				t.Fatalf("assign changed the generation before from %+v to %+v", before, *n)
			}
			if (err != nil) != (wanted > available) {
				t.Fatalf("%d new keys for %d free IDs: error %v", wanted, available, err)
			}
			if err != nil || rapid.IntRange(0, 3).Draw(t, "thrown away") == 0 {
				generation-- // it is as if it had not been
				continue
			}
			n = next
			seen := map[uint32]bool{}
			for i, id := range assigned {
				if id >= limit || seen[id] {
					t.Fatalf("key %s got ID %d, which is too large or taken", keys[i], id)
				}
				seen[id] = true
				before, had := owners[id]
				if had && before.key != keys[i] && (present[before.key] || before.last >= oldest || !idle(id)) {
					t.Fatalf("generation %d: ID %d went from %s (last there in %d, oldest %d, idle %t) to %s",
						generation, id, before.key, before.last, oldest, idle(id), keys[i])
				}
				for other, o := range owners {
					if o.key == keys[i] && other != id {
						t.Fatalf("key %s moved from ID %d to %d", keys[i], other, id)
					}
				}
			}
			for i, id := range assigned {
				owners[id] = tenure{keys[i], generation}
			}
		}
	})
}

func TestIDsLongestAbsentFirst(t *testing.T) {
	n := newIDs[string]("letters", 10)
	generation := uint64(0)
	next := func(keys ...string) []uint32 {
		generation++
		numbers, got, err := n.assign(keys, generation, generation-1, always)
		if err != nil {
			t.Fatal(err)
		}
		n = numbers
		return got
	}
	next("a", "b", "c")
	next("a", "c") // b leaves
	next("c")      // a leaves
	next("c")
	if got := next("c", "d"); got[1] != 1 {
		t.Errorf("the newcomer got ID %d, want b's 1: it is gone for longer than a's 0", got[1])
	}
	if got := next("c", "d", "a"); got[2] != 0 {
		t.Errorf("a came back to ID %d, want its own 0, which nobody has needed", got[2])
	}
	if got := next("c", "d", "a", "b"); got[3] != 3 {
		t.Errorf("b came back to ID %d, want a fresh one: its own has another owner", got[3])
	}
}

func TestIDsExhausted(t *testing.T) {
	n, _, err := newIDs[string]("letters", 2).assign([]string{"a", "b"}, 1, 0, always)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = n.assign([]string{"a", "c"}, 2, 1, always)
	if err == nil || !strings.Contains(err.Error(), "1 letters are new") {
		t.Fatalf("error %v, want one that says how many letters are new: b was there in generation 1, which is still read", err)
	}
	if _, got, err := n.assign([]string{"b"}, 2, 1, always); err != nil || got[0] != 1 {
		t.Errorf("after the error b has %v, %v; want its own 1: nothing has changed", got, err)
	}
}

// Where nobody is new nothing is copied but who was there last.
func TestIDsShared(t *testing.T) {
	n, _, err := newIDs[string]("letters", 10).assign([]string{"a", "b"}, 1, 0, always)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := n.assign([]string{"b"}, 2, 1, always)
	if err != nil || &next.keys[0] != &n.keys[0] {
		t.Errorf("the keys were copied although nobody is new (error %v)", err)
	}
}

package balancer

import (
	"math"
	"testing"
)

// The share of slots that move is the share of clients whom the hash sends elsewhere.
func TestMovedAgainstClients(t *testing.T) {
	for name, test := range map[string]struct {
		was, is []uint16 // weights
		a       Algorithm
	}{
		"the same":     {[]uint16{1, 1, 1}, []uint16{1, 1, 1}, Maglev},
		"one more":     {[]uint16{1, 1, 1}, []uint16{1, 1, 1, 1}, Maglev},
		"one less":     {[]uint16{1, 1, 1, 1, 1}, []uint16{1, 1, 1, 1}, SourceHash},
		"another pair": {[]uint16{1, 9, 3}, []uint16{9, 1, 3}, Maglev},
		"one drains":   {[]uint16{1, 1}, []uint16{1, 0}, SourceHash},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCompiler(NewLoads())
			tables := [2]*Table{}
			for i, weights := range [][]uint16{test.was, test.is} {
				spec := webSpec(test.a, weights...)
				tables[i] = commit(t, c, &spec, &Facts{NextHops: hops(&spec)})
			}
			was, is := &tables[0].Services[0], &tables[1].Services[0]
			moved, of := tables[1].Moved(is, tables[0], was)
			if of != slots {
				t.Fatalf("%d slots, want %d", of, slots)
			}
			const clients = 20_000
			others := 0
			for n := range uint32(clients) {
				k := clientKey(n)
				old, _ := was.Consistent(&k)
				now, _ := is.Consistent(&k)
				if old != now {
					others++
				}
			}
			got, want := float64(moved)/slots, float64(others)/clients
			if math.Abs(got-want) > 0.02 || (moved == 0) != (others == 0) {
				t.Errorf("%.3f of the slots have moved, and %.3f of the clients", got, want)
			}
			t.Logf("%.3f of the slots", got)
		})
	}
}

// A backend that is not known yet moves what it will move when it is up; and nobody's
// slots are all slots.
func TestMovedBeforeTheFirstAnswer(t *testing.T) {
	c := NewCompiler(NewLoads())
	table := func(facts func(*Spec) *Facts, weights ...uint16) *Table {
		spec := webSpec(Maglev, weights...)
		return commit(t, c, &spec, facts(&spec))
	}
	known := func(spec *Spec) *Facts { return &Facts{NextHops: hops(spec)} }
	lastUnknown := func(spec *Spec) *Facts {
		f := known(spec)
		b := spec.Services[0].Backends
		delete(f.NextHops, b[len(b)-1].Address)
		return f
	}
	two := table(known, 1, 1)
	waits := table(lastUnknown, 1, 1, 1)
	up := table(known, 1, 1, 1)
	none := table(known)
	for _, test := range []struct {
		what    string
		was, is *Table
		least   int // of the slots, in percent
		most    int
	}{
		{"one that is not known yet", two, waits, 30, 50},
		{"and then is up", waits, up, 0, 0},
		{"nobody any more", up, none, 100, 100},
		{"somebody again", none, up, 100, 100},
		{"nobody all the time", none, none, 0, 0},
	} {
		moved, of := test.is.Moved(&test.is.Services[0], test.was, &test.was.Services[0])
		if of != slots || moved*100 < test.least*of || moved*100 > test.most*of {
			t.Errorf("%s: %d of %d slots have moved, want %d to %d%%", test.what, moved, of, test.least, test.most)
		}
	}
	spec := webSpec(RoundRobin, 1, 1)
	turns := commit(t, c, &spec, known(&spec))
	if _, of := turns.Moved(&turns.Services[0], two, &two.Services[0]); of != 0 {
		t.Errorf("an algorithm that does not hash has %d slots", of)
	}
}

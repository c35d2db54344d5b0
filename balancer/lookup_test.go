package balancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// Seeds are what balancers agree by: a change here moves flows.
func TestSeeds(t *testing.T) {
	for _, test := range []struct {
		name     string
		port     uint16   // of the service; 0: any
		backends []string // address, or address and port
		want     []string // in the same order
	}{
		{"by address alone", 80, []string{"10.0.0.2", "10.0.0.1:8080", "2001:db8::1"}, []string{"10.0.0.2", "10.0.0.1", "2001:db8::1"}},
		{"one address by port", 80, []string{"10.0.0.1:82", "10.0.0.1:81", "10.0.0.1:1000"}, []string{"10.0.0.1#1", "10.0.0.1", "10.0.0.1#2"}},
		{"the default port has its place", 80, []string{"10.0.0.1:81", "10.0.0.1", "10.0.0.1:79"}, []string{"10.0.0.1#2", "10.0.0.1#1", "10.0.0.1"}},
		{"each address counts for itself", 80, []string{"10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:2", "10.0.0.3"}, []string{"10.0.0.2", "10.0.0.1", "10.0.0.2#1", "10.0.0.3"}},
		{"the client's port first", 0, []string{"10.0.0.1:1", "10.0.0.1"}, []string{"10.0.0.1#1", "10.0.0.1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ServiceSpec{First: test.port, Last: test.port}
			if test.port == 0 {
				s.Last = MaxPort
			}
			for _, text := range test.backends {
				b := BackendSpec{}
				if at, err := netip.ParseAddrPort(text); err == nil {
					b.Address, b.Port = at.Addr(), at.Port()
				} else {
					b.Address = netip.MustParseAddr(text)
				}
				s.Backends = append(s.Backends, b)
			}
			got := make([]string, len(s.Backends))
			for _, m := range members(&s) {
				got[m.index] = m.seed
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("seeds are %q, want %q", got, test.want)
			}
		})
	}
}

// pair is a service on port 80 and one on 443 with the same servers, which are named, ordered
// and reached differently.
func pair(a Algorithm, weights ...uint16) Spec {
	spec := webSpec(a, weights...)
	tls := webSpec(a, weights...).Services[0]
	tls.Name, tls.First, tls.Last = "tls", 443, 443
	for i := range tls.Backends {
		tls.Backends[i].Name, tls.Backends[i].Port = fmt.Sprint("t", len(weights)-i), uint16(8443+i)
	}
	slices.Reverse(tls.Backends)
	spec.Services = append(spec.Services, tls)
	return spec
}

// The same client reaches the same server on ports 80 and 443.
func TestSourceHashOverPorts(t *testing.T) {
	table := mustCompile(t, NewCompiler(NewLoads()), pair(SourceHash, 1, 2, 3, 4, 0), Facts{})
	p := NewPicker(0, NewLoads())
	for n := range uint32(1000) {
		k := clientKey(n)
		a, _ := p.Pick(&table.Services[0], &k)
		k.DstPort = 443
		b, _ := p.Pick(&table.Services[1], &k)
		if table.Backends[a].Address != table.Backends[b].Address {
			t.Fatalf("client %d goes to %v on port 80 and to %v on 443", n, table.Keys[a], table.Keys[b])
		}
	}
}

// Services with the same seeds and weights have one table among them, and generations
// too; and what is not in force is not kept.
func TestTablesAreShared(t *testing.T) {
	slotsOf := func(table *Table, i int) []uint16 { return table.Services[i].selection.midstream.slots }
	for _, a := range []Algorithm{Maglev, LeastConn} {
		c := NewCompiler(NewLoads())
		spec := pair(a, 1, 2, 3)
		first := mustCompile(t, c, spec, Facts{})
		if !same(slotsOf(first, 0), slotsOf(first, 1)) {
			t.Errorf("%v: two services with the same servers have two tables", a)
		}
		for i := range first.Services {
			if s := first.Services[i].selection; a == Maglev && s.rotated != s.midstream {
				t.Errorf("service %d: with all known, new flows and packets in mid-stream go by two hashes", i)
			}
		}
		spec.Services[0].Backends[0].Weight = 9
		second := mustCompile(t, c, spec, Facts{})
		if same(slotsOf(second, 0), slotsOf(second, 1)) {
			t.Errorf("%v: two services with different weights have one table", a)
		}
		spec.Services[0].Backends[0].Weight = 1
		if third := mustCompile(t, c, spec, Facts{}); !same(slotsOf(first, 0), slotsOf(third, 0)) {
			t.Errorf("%v: a table that another service had was made anew", a)
		}
		for w := range uint16(20) {
			spec.Services[0].Backends[0].Weight = 10 + w
			mustCompile(t, c, spec, Facts{})
		}
		if n := len(c.last.tables); n != 2 {
			t.Errorf("%v: %d tables are kept, want the 2 of the generation in force", a, n)
		}
		spec.Services = nil
		mustCompile(t, c, spec, Facts{})
		if n := len(c.last.tables); n != 0 {
			t.Errorf("%v: %d tables are kept without a service", a, n)
		}
	}
}

// A table of 4,093 slots is never taken for one of 65,537.
func TestTablesOfTwoSizes(t *testing.T) {
	spec := pair(Maglev, 1, 1)
	spec.Services[1].Algorithm = RoundRobin
	table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{})
	if a, b := len(table.Services[0].selection.midstream.slots), len(table.Services[1].selection.midstream.slots); a != slots || b != smallSlots {
		t.Errorf("maglev has %d slots and round-robin %d, want %d and %d", a, b, slots, smallSlots)
	}
}

// A backend that drains or goes down changes nobody's seed: what it had goes to others,
// and nothing else moves but what it always does.
func TestSeedsOutliveTheOthers(t *testing.T) {
	spec := webSpec(Maglev, equal(6)...)
	for i := range spec.Services[0].Backends {
		b := &spec.Services[0].Backends[i]
		b.Address, b.Port = netip.MustParseAddr("10.0.0.1"), uint16(8000+i)
	}
	c := NewCompiler(NewLoads())
	before := mustCompile(t, c, spec, Facts{})
	gone := spec.Services[0].BackendKey(&spec.Services[0].Backends[0])
	for what, compile := range map[string]func() *Table{
		"down": func() *Table {
			return mustCompile(t, c, spec, Facts{States: map[BackendKey]State{gone: StateDown}})
		},
		"drained": func() *Table {
			drained := Spec{Services: slices.Clone(spec.Services)}
			drained.Services[0].Backends = slices.Clone(spec.Services[0].Backends)
			drained.Services[0].Backends[0].Weight = 0
			return mustCompile(t, c, drained, Facts{})
		},
	} {
		after := compile()
		moved := 0
		for n := range uint32(5000) {
			k := clientKey(n)
			a, _ := before.Services[0].Consistent(&k)
			b, _ := after.Services[0].Consistent(&k)
			if b == 0 {
				t.Fatalf("%s: client %d still goes there", what, n)
			}
			if a != 0 && a != b {
				moved++
			}
		}
		if moved > 250 {
			t.Errorf("%s: of 5,000 clients %d moved that were not its own, want a few", what, moved)
		}
	}
}

// consistent is the contract of Consistent (midstream) and of the hash of new flows in
// other words, without a word about sharing, memo or standing.
func consistent(s *ServiceSpec, facts *Facts, k *packet.Key, midstream bool) (BackendKey, bool) {
	type candidate struct {
		key    BackendKey
		weight uint32
	}
	var known, doubted []candidate
	for j := range s.Backends {
		b := &s.Backends[j]
		c := candidate{s.BackendKey(b), uint32(b.Weight)}
		_, up, maybe := wantFlags(s, b, facts)
		hop, found := facts.NextHops[b.Address]
		switch {
		case b.Weight == 0:
		case up || midstream && maybe:
			known = append(known, c)
		case midstream && facts.States[c.key] == StateSuspect && (!found || hop.fits(s, b.Address)):
			doubted = append(doubted, c)
		}
	}
	if len(known) == 0 {
		known = doubted
	}
	if len(known) == 0 {
		return BackendKey{}, false
	}
	slices.SortFunc(known, func(a, b candidate) int {
		return cmp.Or(a.key.Address.Compare(b.key.Address), cmp.Compare(a.key.Port, b.key.Port))
	})
	m := tableSize(s.Algorithm, len(s.Backends))
	var weights []uint32
	var permutations []permutation
	for _, c := range known {
		weights = append(weights, c.weight)
		permutations = append(permutations, permute(c.key.Address.String(), m))
	}
	l := lookup{slots: populate(permutations, quotas(weights, m))}
	for i := range known {
		l.ids = append(l.ids, uint32(i))
	}
	at := Service{Algorithm: s.Algorithm}
	return known[l.at(at.hash(k))].key, true
}

// Whatever is known, unknown, down or suspect, through generations of it.
func TestConsistentAgainstContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, p := NewCompiler(NewLoads()), NewPicker(0, NewLoads())
		for range 3 {
			spec, facts := drawSpec(t)
			for i := range spec.Services {
				if rapid.IntRange(0, 9).Draw(t, "by hash") == 0 { // a large table, and so rare
					spec.Services[i].Algorithm = rapid.SampledFrom([]Algorithm{Maglev, SourceHash}).Draw(t, "hash")
				}
			}
			table := commit(t, c, &spec, &facts)
			for i := range spec.Services {
				s := &spec.Services[i]
				for n := range uint32(5) {
					k := clientKey(n)
					id, ok := table.Services[i].Consistent(&k)
					if want, found := consistent(s, &facts, &k, true); ok != found || ok && table.Keys[id] != want {
						t.Fatalf("client %d goes to %d, %t; want %v, %t", n, id, ok, want, found)
					}
					if s.Algorithm != Maglev && s.Algorithm != SourceHash {
						continue
					}
					id, ok = p.Pick(&table.Services[i], &k)
					if want, found := consistent(s, &facts, &k, false); ok != found || ok && table.Keys[id] != want {
						t.Fatalf("new client %d goes to %d, %t; want %v, %t", n, id, ok, want, found)
					}
				}
			}
		}
	})
}

// At the start nothing is known, and packets in mid-stream go where they will go when all
// is known: the table before the first answer is the table after the last one.
func TestMidstreamBeforeTheFirstAnswer(t *testing.T) {
	for _, a := range []Algorithm{Maglev, SourceHash, LeastConn} {
		spec := webSpec(a, 1, 2, 3)
		spec.Services[0].Health = validSpec().Services[1].Health
		c := NewCompiler(NewLoads())
		states := map[BackendKey]State{}
		start := commit(t, c, &spec, &Facts{})
		if s := &start.Services[0]; !s.Warming || len(s.Eligible()) != 0 {
			t.Errorf("%v: at the start warming is %t and eligible are %v", a, s.Warming, s.Eligible())
		}
		for j := range spec.Services[0].Backends {
			states[spec.Services[0].BackendKey(&spec.Services[0].Backends[j])] = StateUp
			table := mustCompile(t, c, spec, Facts{States: states})
			if table.Services[0].Warming {
				t.Errorf("%v: warming with %d backends in rotation", a, j+1)
			}
			if !same(table.Services[0].selection.midstream.slots, start.Services[0].selection.midstream.slots) {
				t.Errorf("%v: the hash for packets in mid-stream changed when backend %d was found to be up", a, j)
			}
		}
	}
}

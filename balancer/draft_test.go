package balancer

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// A draft that is thrown away leaves no trace: a compiler that has made some makes the
// same tables as one that has made none, whatever the drafts were of.
func TestDraftsLeaveNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := NewLoads()
		plain, trying := NewCompiler(loads), NewCompiler(loads)
		for range 5 {
			for range rapid.IntRange(0, 2).Draw(t, "drafts") {
				spec, facts := drawSpec(t)
				before := trying.last
				if _, err := trying.Compile(&spec, &facts); err != nil {
					t.Fatal(err)
				}
				if after := trying.last; after.number != before.number || after.services != before.services || after.backends != before.backends ||
					!maps.EqualFunc(after.tables, before.tables, same) || !slices.Equal(after.selections, before.selections) {
					t.Fatalf("a draft changed the compiler's last generation")
				}
			}
			spec, facts := drawSpec(t)
			want, got := commit(t, plain, &spec, &facts), commit(t, trying, &spec, &facts)
			options := cmp.Options{
				cmp.AllowUnexported(packet.Tunnel{}, Table{}, spreads{}, spread{}, exit{}, Service{}, selection{}, lookup{}, part{}, column{}, portSpan{}, place{}),
				cmpopts.IgnoreFields(selection{}, "epoch"), cmpopts.IgnoreFields(Table{}, "Links"),
				cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmp.Comparer(slices.Equal[[]uint16]),
			}
			if diff := cmp.Diff(want, got, options); diff != "" {
				t.Fatalf("without drafts and with them (-without +with):\n%s", diff)
			}
			for id := range want.Backends {
				if rapid.Bool().Draw(t, "flow") {
					loads.AddFlows(uint32(id), 1)
				}
			}
		}
	})
}

// same reports whether a and b are one slice.
func same(a, b []uint16) bool { return len(a) == len(b) && &a[0] == &b[0] }

// An ID of a draft may be given to somebody else by the time that it is committed.
func TestCommitOfAnOldDraft(t *testing.T) {
	c := NewCompiler(NewLoads())
	spec := webSpec(RoundRobin, 1)
	old, err := c.Compile(&spec, &Facts{})
	if err != nil {
		t.Fatal(err)
	}
	mustCompile(t, c, spec, Facts{})
	defer func() {
		if recover() == nil {
			t.Error("a draft of a generation that was overtaken could be committed")
		}
	}()
	c.Commit(old)
}

func TestCompileErrorChangesNothing(t *testing.T) {
	c := NewCompiler(NewLoads())
	spec := webSpec(RoundRobin, 1, 1)
	first := mustCompile(t, c, spec, Facts{})
	many := webSpec(RoundRobin, equal(MaxBackends)...)
	many.Services[0].Address = netip.MustParseAddr("192.0.2.99")
	if _, err := c.Compile(&many, &Facts{}); err == nil {
		t.Fatal("65,538 backends, of which a worker may know two, have 65,536 IDs")
	}
	second := mustCompile(t, c, spec, Facts{})
	if second.Generation != 2 || !slices.Equal(first.Keys, second.Keys) {
		t.Errorf("generation %d follows 1 and an error, want 2; its keys are %v, were %v", second.Generation, second.Keys, first.Keys)
	}
}

// Selections are shared as long as nothing that a service's depends on changes.
func TestCompileSharesSelections(t *testing.T) {
	two := func(a Algorithm) Spec {
		spec := webSpec(a, 1, 2, 3)
		other := webSpec(RoundRobin, 1, 1).Services[0]
		other.Name, other.First, other.Last = "other", 81, 81
		spec.Services = append(spec.Services, other)
		return spec
	}
	first := netip.MustParseAddr("10.0.0.0")
	moved := map[netip.Addr]NextHop{first: {MAC: packet.MAC{2, 2}}}
	spec := two(RoundRobin)
	down := map[BackendKey]State{spec.Services[0].BackendKey(&spec.Services[0].Backends[0]): StateDown}
	for _, test := range []struct {
		name   string
		edit   func(s *ServiceSpec)
		facts  Facts
		shared bool
	}{
		{"nothing", func(*ServiceSpec) {}, Facts{}, true},
		{"MAC", func(*ServiceSpec) {}, Facts{NextHops: moved}, true},
		{"what is sent when no backend is there", func(s *ServiceSpec) { s.OnNoBackend = DropSilently }, Facts{}, true},
		{"names", func(s *ServiceSpec) { s.Name, s.Backends[0].Name = "web2", "x" }, Facts{}, true},
		{"health check", func(s *ServiceSpec) { s.Health = validSpec().Services[0].Health }, Facts{}, false},
		{"order in the file", nil, Facts{}, true},
		{"weight", func(s *ServiceSpec) { s.Backends[0].Weight = 9 }, Facts{}, false},
		{"drain", func(s *ServiceSpec) { s.Backends[0].Weight = 0 }, Facts{}, false},
		{"health", func(*ServiceSpec) {}, Facts{States: down}, false},
		{"backend's port", func(s *ServiceSpec) { s.Backends[0].Port = 9 }, Facts{}, false},
		{"removal", func(s *ServiceSpec) { s.Backends = s.Backends[:2] }, Facts{}, false},
		{"to weighted", func(s *ServiceSpec) { s.Algorithm = Weighted }, Facts{}, false},
		{"to two-choices", func(s *ServiceSpec) { s.Algorithm = TwoChoices }, Facts{}, false},
		{"to maglev", func(s *ServiceSpec) { s.Algorithm = Maglev }, Facts{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewCompiler(NewLoads())
			spec := two(RoundRobin)
			before := mustCompile(t, c, spec, Facts{})
			if test.edit != nil {
				test.edit(&spec.Services[0])
			} else {
				slices.Reverse(spec.Services)
			}
			facts := test.facts
			facts.NextHops = hops(&spec)
			maps.Copy(facts.NextHops, test.facts.NextHops)
			after := mustCompile(t, c, spec, facts)
			find := func(table *Table, port uint16) *selection {
				i := slices.IndexFunc(table.Services, func(s Service) bool { return s.First == port })
				return table.Services[i].selection
			}
			if got := find(before, 80) == find(after, 80); got != test.shared {
				t.Errorf("the selection is shared: %t, want %t", got, test.shared)
			}
			if find(before, 81) != find(after, 81) {
				t.Error("the other service's selection was made anew")
			}
		})
	}
}

func TestCompileLeavesOldTablesAlone(t *testing.T) {
	c := NewCompiler(NewLoads())
	spec := validSpec()
	first := mustCompile(t, c, spec, Facts{})
	backends, keys, refs := slices.Clone(first.Backends), slices.Clone(first.Keys), slices.Clone(first.Refs)
	spec.Services[0].Backends[0].Weight = 7
	spec.Services = spec.Services[:2]
	for range 3 {
		mustCompile(t, c, spec, Facts{NextHops: map[netip.Addr]NextHop{netip.MustParseAddr("10.0.0.11"): {MAC: packet.MAC{2}}}})
		move(&spec, spec.Services[0].Backends[1].Address.Next().String())
		spec.Services[0].Backends[0].Name += "x"
	}
	if !slices.Equal(first.Backends, backends) || !slices.Equal(first.Keys, keys) || !slices.Equal(first.Refs, refs) {
		t.Error("a later Compile wrote to the first table")
	}
}

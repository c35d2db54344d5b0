package balancer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestCompileRecords(t *testing.T) {
	spec := validSpec()
	mac := packet.MAC{2, 0, 0, 0, 0, 1}
	table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{
		SourceMAC: packet.MAC{2, 0, 0, 0, 0, 9},
		Health:    map[BackendRef]State{{"web", "a"}: StateUp, {"web", "b"}: StateDown, {"web", "b2"}: StateUp},
		NextHop:   map[netip.Addr]packet.MAC{netip.MustParseAddr("10.0.0.12"): mac},
	})
	if table.Generation != 1 || table.SourceMAC != (packet.MAC{2, 0, 0, 0, 0, 9}) {
		t.Errorf("generation %d from %v, want 1 from 02:00:00:00:00:09", table.Generation, table.SourceMAC)
	}
	address := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	want := map[BackendRef]Backend{
		{"web", "a"}:   {Address: address("10.0.0.11"), Port: 8080, Weight: 1, Flags: Present | Up},
		{"web", "b"}:   {Address: address("10.0.0.12"), Port: 8080, Weight: 65535, MAC: mac, Flags: Present | HasMAC},
		{"web", "b2"}:  {Address: address("10.0.0.12"), Port: 8081, MAC: mac, Flags: Present | Up | HasMAC}, // drains
		{"dns", "a"}:   {Address: address("2001:db8:10::1"), Weight: 1, Service: 1, Mode: DSR, Flags: Present},
		{"dns", "b"}:   {Address: address("2001:db8:10::2"), Port: 53, Weight: 1, Service: 1, Mode: DSR, Flags: Present},
		{"range", "a"}: {Address: address("10.0.0.11"), Weight: 1, Service: 2, Flags: Present | Up}, // not probed
	}
	got := map[BackendRef]Backend{}
	for id, b := range table.Backends {
		got[table.Refs[id]] = b
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
	for i, want := range [][]string{{"a"}, nil, {"a"}, nil} {
		var names []string
		for _, id := range table.Services[i].Eligible() {
			names = append(names, table.Refs[id].Backend)
		}
		if !slices.Equal(names, want) {
			t.Errorf("eligible at service %s: %v, want %v", table.Services[i].Name, names, want)
		}
	}
}

func TestCompileErrorChangesNothing(t *testing.T) {
	c := NewCompiler(NewLoads())
	spec := validSpec()
	first := mustCompile(t, c, spec, Facts{})
	wrong := validSpec()
	wrong.Services[0].Name = ""
	_, err := c.Compile(wrong, Facts{})
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Path != "services[0].name" {
		t.Fatalf("error %v, want the one problem with services[0].name", err)
	}
	second := mustCompile(t, c, spec, Facts{})
	if second.Generation != 2 {
		t.Errorf("generation %d follows 1 and an error, want 2", second.Generation)
	}
	if diff := cmp.Diff(first.Refs, second.Refs); diff != "" {
		t.Errorf("IDs changed (-before +after):\n%s", diff)
	}
}

func TestCompileTooManyBackends(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles 65,537 backends")
	}
	c := NewCompiler(NewLoads())
	_, err := c.Compile(webSpec(RoundRobin, equal(MaxBackends+1)...), Facts{})
	if err == nil || !strings.Contains(err.Error(), "65537 backends are new, but of 65536 IDs only 65536 are free") {
		t.Errorf("error %v, want one that counts backends and IDs", err)
	}
	table := mustCompile(t, c, webSpec(RoundRobin, equal(MaxBackends)...), Facts{})
	if n := len(table.Services[0].Eligible()); n != MaxBackends {
		t.Errorf("%d backends are eligible, want %d", n, MaxBackends)
	}
}

// A backend that is gone stays on record for its flows, and has its ID back when
// it returns.
func TestCompileRemovedBackend(t *testing.T) {
	loads := NewLoads()
	c := NewCompiler(loads)
	both := webSpec(RoundRobin, 1, 1)
	one := webSpec(RoundRobin, 1)
	other := webSpec(RoundRobin, 1, 1)
	other.Services[0].Backends[1].Name = "new"
	for _, spec := range []Spec{both, one, other} { // not what the zero value has
		s := &spec.Services[0]
		s.Mode, s.First, s.Last = DSR, 8080, 8080
	}
	facts := Facts{NextHop: map[netip.Addr]packet.MAC{both.Services[0].Backends[1].Address: {2, 3}}}

	first := mustCompile(t, c, both, facts)
	id := first.Services[0].Backends[1]
	loads.AddFlows(id, 1)
	for range 3 {
		without := mustCompile(t, c, one, facts)
		gone := without.Backends[id]
		want := first.Backends[id]
		want.Flags, want.Weight = HasMAC, 0
		if gone != want {
			t.Errorf("the removed backend's record is %+v, want %+v", gone, want)
		}
		if stranger := packet.AddrFrom(netip.MustParseAddr("203.0.113.9")); !without.HasBackend(&gone.Address) || without.HasBackend(&stranger) {
			t.Errorf("known as backends: the removed one %t, a stranger %t", without.HasBackend(&gone.Address), without.HasBackend(&stranger))
		}
	}
	if got := mustCompile(t, c, other, Facts{}).Services[0].Backends[1]; got == id {
		t.Error("a new backend got the ID of one that has a flow")
	}
	if got := mustCompile(t, c, both, Facts{}).Services[0].Backends[1]; got != id {
		t.Errorf("the backend came back as %d, want its old ID %d", got, id)
	}
	empty := mustCompile(t, c, Spec{}, Facts{})
	if got := empty.Backends[id].Service; got != NoService {
		t.Errorf("the backend of a service that is gone has service %d, want NoService", got)
	}
	loads.AddFlows(id, -1)
	third := webSpec(RoundRobin, 1, 1, 1)
	third.Services[0].Name = "another"
	if got := mustCompile(t, c, third, Facts{}); len(got.Backends) != 3 {
		t.Errorf("there are %d IDs, want 3: all three are idle and absent, so none is fresh", len(got.Backends))
	}
}

// A worker that is slow to take a new table must not find its IDs reused.
func TestCompileOldest(t *testing.T) {
	c := NewCompiler(NewLoads())
	mustCompile(t, c, webSpec(RoundRobin, 1, 1), Facts{})
	mustCompile(t, c, webSpec(RoundRobin, 1), Facts{})
	spec := webSpec(RoundRobin, 1, 1)
	spec.Services[0].Backends[1].Name = "new"
	if got := mustCompile(t, c, spec, Facts{Oldest: 1}).Services[0].Backends[1]; got != 2 {
		t.Errorf("the new backend got ID %d while a worker reads generation 1, want the fresh one, 2", got)
	}
	spec.Services[0].Backends[1].Name = "newer"
	if got := mustCompile(t, c, spec, Facts{Oldest: 2}).Services[0].Backends[1]; got != 1 {
		t.Errorf("the newest backend got ID %d, want 1, which no table since generation 2 has", got)
	}
}

// Selections are shared as long as nothing about a service's rotation changes.
func TestCompileSharesSelections(t *testing.T) {
	two := func(a Algorithm) Spec {
		spec := webSpec(a, 1, 2, 3)
		other := webSpec(RoundRobin, 1, 1).Services[0]
		other.Name, other.First, other.Last = "other", 81, 81
		spec.Services = append(spec.Services, other)
		return spec
	}
	mac := map[netip.Addr]packet.MAC{netip.MustParseAddr("10.0.0.1"): {2}}
	for _, test := range []struct {
		name   string
		edit   func(s *ServiceSpec)
		facts  Facts
		shared bool
	}{
		{"nothing", func(*ServiceSpec) {}, Facts{}, true},
		{"MAC", func(*ServiceSpec) {}, Facts{NextHop: mac}, true},
		{"what is sent when no backend is there", func(s *ServiceSpec) { s.OnNoBackend = DropSilently }, Facts{}, true},
		{"port", func(s *ServiceSpec) { s.First, s.Last = 8000, 8001 }, Facts{}, true},
		{"order in the file", nil, Facts{}, true},
		{"weight", func(s *ServiceSpec) { s.Backends[0].Weight = 9 }, Facts{}, false},
		{"drain", func(s *ServiceSpec) { s.Backends[0].Weight = 0 }, Facts{}, false},
		{"health", func(s *ServiceSpec) { s.Health = validSpec().Services[0].Health },
			Facts{Health: map[BackendRef]State{{"web", "b0"}: StateUp}}, false},
		{"backend's port", func(s *ServiceSpec) { s.Backends[0].Port = 9 }, Facts{}, false},
		{"removal", func(s *ServiceSpec) { s.Backends = s.Backends[:2] }, Facts{}, false},
		{"to weighted", func(s *ServiceSpec) { s.Algorithm = Weighted }, Facts{}, false},
		{"to two-choices", func(s *ServiceSpec) { s.Algorithm = TwoChoices }, Facts{}, false},
		{"to maglev", func(s *ServiceSpec) { s.Algorithm = Maglev }, Facts{}, false},
		{"to least-conn", func(s *ServiceSpec) { s.Algorithm = LeastConn }, Facts{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewCompiler(NewLoads())
			before := mustCompile(t, c, two(RoundRobin), Facts{})
			spec := two(RoundRobin)
			if test.edit != nil {
				test.edit(&spec.Services[0])
			} else {
				slices.Reverse(spec.Services)
			}
			after := mustCompile(t, c, spec, test.facts)
			find := func(table *Table, name string) *selection {
				i := slices.IndexFunc(table.Services, func(s Service) bool { return s.Name == name })
				return table.Services[i].selection
			}
			if got := find(before, "web") == find(after, "web"); got != test.shared {
				t.Errorf("the selection is shared: %t, want %t", got, test.shared)
			}
			if find(before, "other") != find(after, "other") {
				t.Error("the other service's selection was made anew")
			}
		})
	}
}

func TestCompileLeavesOldTablesAlone(t *testing.T) {
	loads := NewLoads()
	c := NewCompiler(loads)
	first := mustCompile(t, c, validSpec(), Facts{})
	backends, refs := slices.Clone(first.Backends), slices.Clone(first.Refs)
	spec := validSpec()
	spec.Services[0].Backends[0].Weight = 7
	spec.Services = spec.Services[:2]
	for range 3 {
		mustCompile(t, c, spec, Facts{NextHop: map[netip.Addr]packet.MAC{netip.MustParseAddr("10.0.0.11"): {2}}})
		spec.Services[0].Backends[1].Name += "x"
	}
	if !slices.Equal(first.Backends, backends) || !slices.Equal(first.Refs, refs) {
		t.Error("a later Compile wrote to the first table")
	}
}

// Random sequences of specs, health and flows against what the contract says of
// each table by itself and of all of them together.
func TestCompileSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := NewLoads()
		c := NewCompiler(loads)
		owner := map[uint32]string{}     // of IDs that have flows, in the model: service/backend/address
		var serviceIDs map[string]uint32 // of the generation before
		for generation := uint64(1); generation <= 8; generation++ {
			spec, facts := drawSpec(t)
			table, err := c.Compile(spec, facts)
			if err != nil {
				t.Fatalf("generation %d: %v", generation, err)
			}
			if table.Generation != generation {
				t.Fatalf("generation %d, want %d", table.Generation, generation)
			}
			used := map[uint32]bool{}
			before := serviceIDs
			serviceIDs = map[string]uint32{}
			for i := range spec.Services {
				want, got := &spec.Services[i], &table.Services[i]
				if id, ok := before[want.Name]; ok && id != got.ID {
					t.Fatalf("service %s has ID %d, had %d", want.Name, got.ID, id)
				}
				serviceIDs[want.Name] = got.ID
				var eligible []uint32
				for j, b := range want.Backends {
					id := got.Backends[j]
					if used[id] {
						t.Fatalf("ID %d has two owners", id)
					}
					used[id] = true
					record := table.Backends[id]
					if record.Address.Netip() != b.Address || int(record.Service) != i || table.Refs[id] != (BackendRef{want.Name, b.Name}) {
						t.Fatalf("ID %d is %+v, %v; want %s of %s", id, record, table.Refs[id], b.Name, want.Name)
					}
					if up := facts.Health[BackendRef{want.Name, b.Name}] == StateUp; up != (record.Flags&Up != 0) {
						t.Fatalf("backend %s has flags %b, is up: %t", b.Name, record.Flags, up)
					} else if up && b.Weight > 0 {
						eligible = append(eligible, id)
					}
				}
				if !slices.Equal(eligible, got.Eligible()) {
					t.Fatalf("eligible are %v, want %v", got.Eligible(), eligible)
				}
			}
			for id, who := range owner {
				if now := identity(table, id); now != who {
					t.Fatalf("ID %d has a flow of %s and is %s now", id, who, now)
				}
			}
			for id := range table.Backends {
				if (table.Backends[id].Flags&Present != 0) != used[uint32(id)] {
					t.Fatalf("ID %d is present: %t, is in the Spec: %t", id, !used[uint32(id)], used[uint32(id)])
				}
				switch id := uint32(id); {
				case owner[id] != "" && rapid.Bool().Draw(t, "flow ends"):
					loads.AddFlows(id, -1)
					delete(owner, id)
				case owner[id] == "" && used[id] && rapid.Bool().Draw(t, "flow begins"):
					loads.AddFlows(id, 1)
					owner[id] = identity(table, id)
				}
			}
		}
	})
}

func identity(t *Table, id uint32) string {
	return fmt.Sprint(t.Refs[id], t.Backends[id].Address.Netip(), t.Backends[id].Port)
}

// drawSpec draws a few services out of three, with a few backends out of five.
func drawSpec(t *rapid.T) (Spec, Facts) {
	facts := Facts{Health: map[BackendRef]State{}}
	var spec Spec
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s1", "s2", "s3"}), 0, 3, rapid.ID).Draw(t, "services") {
		s := webSpec(rapid.SampledFrom(algorithms[:5]).Draw(t, "algorithm")).Services[0] // with a small table
		s.Health = validSpec().Services[1].Health
		s.Name = name
		s.First += uint16(name[1])
		s.Last = s.First
		for _, b := range rapid.SliceOfNDistinct(rapid.ByteRange(1, 5), 0, 5, rapid.ID).Draw(t, "backends") {
			s.Backends = append(s.Backends, BackendSpec{
				Name:    fmt.Sprint("b", b),
				Address: netip.AddrFrom4([4]byte{10, 0, rapid.ByteRange(0, 1).Draw(t, "net"), b}),
				Weight:  rapid.Uint16Range(0, 3).Draw(t, "weight"),
			})
			facts.Health[BackendRef{name, fmt.Sprint("b", b)}] = State(rapid.IntRange(0, 2).Draw(t, "state"))
		}
		spec.Services = append(spec.Services, s)
	}
	return spec, facts
}

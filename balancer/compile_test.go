package balancer

import (
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
	router, neighbour, source := packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2}, packet.MAC{2, 0, 0, 0, 0, 9}
	addr := netip.MustParseAddr
	table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{
		Ports: []Port{{MAC: source}},
		States: map[BackendKey]State{
			spec.key(t, "web", "a"): StateUp, spec.key(t, "web", "b"): StateDown, spec.key(t, "web", "b2"): StateUp,
			spec.key(t, "dns", "a"): StateUp, spec.key(t, "dns", "b"): StateSuspect,
		},
		NextHops: map[netip.Addr]NextHop{
			addr("10.0.0.12"): {MAC: router}, addr("2001:db8:10::1"): {MAC: router}, addr("2001:db8:10::2"): {MAC: neighbour, OnLink: true},
			addr("10.0.0.11"): {MAC: neighbour, OnLink: true},
		},
	})
	if table.Generation != 1 || table.Ports[0].MAC != source {
		t.Errorf("generation %d from %v, want 1 from 02:00:00:00:00:09", table.Generation, table.Ports[0].MAC)
	}
	address := func(s string) packet.Addr { return packet.AddrFrom(addr(s)) }
	want := map[BackendRef]Backend{
		{"web", "a"}: {Address: address("10.0.0.11"), Port: 8080, Weight: 1, Next: neighbour.Word(), Source: source.Word(), Flags: Present | Usable | Up | HasMAC},
		{"web", "b"}: {Address: address("10.0.0.12"), Port: 8080, Weight: 65535, Next: router.Word(), Source: source.Word(), Flags: Present | HasMAC},
		// drains
		{"web", "b2"}: {Address: address("10.0.0.12"), Port: 8081, Next: router.Word(), Source: source.Word(), Flags: Present | Usable | Up | HasMAC},
		// behind a router, which dsr cannot pass
		{"dns", "a"}: {Address: address("2001:db8:10::1"), Port: 53, Weight: 1, Service: 1, Mode: DSR, Next: NoHop, Flags: Present | Usable},
		{"dns", "b"}: {Address: address("2001:db8:10::2"), Port: 53, Weight: 1, Service: 1, Mode: DSR, Next: neighbour.Word(), Source: source.Word(), Flags: Present | Suspect | HasMAC},
		// not probed
		{"range", "a"}: {Address: address("10.0.0.11"), Weight: 1, Service: 2, Next: neighbour.Word(), Source: source.Word(), Flags: Present | Usable | Up | HasMAC},
	}
	got := map[BackendRef]Backend{}
	for id, b := range table.Backends {
		ref := table.Refs[id]
		got[ref] = b
		if table.Keys[id] != spec.key(t, ref.Service, ref.Backend) {
			t.Errorf("the key of %v is %v, want %v", ref, table.Keys[id], spec.key(t, ref.Service, ref.Backend))
		}
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

// A dsr service cannot use the way by a router, and a nat service that has the same
// backend can.
func TestModesShareABackendBehindARouter(t *testing.T) {
	spec := webSpec(RoundRobin, 1)
	dsr := webSpec(RoundRobin, 1).Services[0]
	dsr.Name, dsr.First, dsr.Last, dsr.Mode, dsr.Backends[0].Port = "dsr", 81, 81, DSR, 0
	spec.Services = append(spec.Services, dsr)
	for range 2 { // in either order
		table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{
			NextHops: map[netip.Addr]NextHop{dsr.Backends[0].Address: {MAC: packet.MAC{2}}},
		})
		for i := range table.Services {
			s := &table.Services[i]
			flags := table.Backends[s.Backends[0]].Flags
			if nat := s.Mode == NAT; (flags&(Up|HasMAC) == Up|HasMAC) != nat || (len(s.Eligible()) == 1) != nat {
				t.Errorf("%v: flags %b, eligible %v", s.Mode, flags, s.Eligible())
			}
		}
		slices.Reverse(spec.Services)
	}
}

func TestCompileTooManyBackends(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles 65,537 backends")
	}
	c := NewCompiler(NewLoads())
	spec := webSpec(RoundRobin, equal(MaxBackends+1)...)
	_, err := c.Compile(&spec, &Facts{})
	if err == nil || !strings.Contains(err.Error(), "65537 backends are new, but of 65536 IDs only 65536 are free") {
		t.Errorf("error %v, want one that counts backends and IDs", err)
	}
	table := mustCompile(t, c, webSpec(RoundRobin, equal(MaxBackends)...), Facts{})
	if n := len(table.Services[0].Eligible()); n != MaxBackends {
		t.Errorf("%d backends are eligible, want %d", n, MaxBackends)
	}
}

// move puts the spec's first service's second backend somewhere else.
func move(spec *Spec, address string) {
	spec.Services[0].Backends[1].Address = netip.MustParseAddr(address)
}

// A backend that is gone stays on record for its flows, and has its ID back when
// it returns.
func TestCompileRemovedBackend(t *testing.T) {
	loads := NewLoads()
	c := NewCompiler(loads)
	both := webSpec(RoundRobin, 1, 1)
	one := webSpec(RoundRobin, 1)
	one.Services[0].Name = "renamed"
	other := webSpec(RoundRobin, 1, 1)
	move(&other, "10.1.1.1")
	for _, spec := range []Spec{both, one, other} { // not what the zero value has
		s := &spec.Services[0]
		s.Mode, s.First, s.Last = DSR, 8080, 8080
	}
	facts := Facts{NextHops: map[netip.Addr]NextHop{both.Services[0].Backends[1].Address: {MAC: packet.MAC{2, 3}, OnLink: true}}}

	first := mustCompile(t, c, both, facts)
	id := first.Services[0].Backends[1]
	loads.AddFlows(id, 1)
	for range 3 {
		without := mustCompile(t, c, one, facts)
		gone := without.Backends[id]
		want := first.Backends[id]
		want.Flags, want.Weight = HasMAC, 0
		if gone != want || without.Keys[id] != first.Keys[id] || without.Refs[id] != (BackendRef{"renamed", "b1"}) {
			t.Errorf("the removed backend's record is %+v of %v, %v; want %+v of %v and the service's new name",
				gone, without.Keys[id], without.Refs[id], want, first.Keys[id])
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
	third.Services[0].Address = netip.MustParseAddr("192.0.2.99")
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
	move(&spec, "10.1.1.1")
	if got := mustCompile(t, c, spec, Facts{Oldest: 1}).Services[0].Backends[1]; got != 2 {
		t.Errorf("the new backend got ID %d while a worker reads generation 1, want the fresh one, 2", got)
	}
	move(&spec, "10.1.1.2")
	if got := mustCompile(t, c, spec, Facts{Oldest: 2}).Services[0].Backends[1]; got != 1 {
		t.Errorf("the newest backend got ID %d, want 1, which no table since generation 2 has", got)
	}
}

// Random sequences of specs, health and flows against what the contract says of
// each table by itself and of all of them together.
func TestCompileSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := NewLoads()
		c := NewCompiler(loads)
		owner := map[uint32]string{}         // of IDs that have flows, in the model: service/backend/address
		var serviceIDs map[ServiceKey]uint32 // of the generation before
		for generation := uint64(1); generation <= 8; generation++ {
			spec, facts := drawSpec(t)
			table := commit(t, c, &spec, &facts)
			if table.Generation != generation {
				t.Fatalf("generation %d, want %d", table.Generation, generation)
			}
			used := map[uint32]bool{}
			before := serviceIDs
			serviceIDs = map[ServiceKey]uint32{}
			for i := range spec.Services {
				want, got := &spec.Services[i], &table.Services[i]
				if id, ok := before[want.Key()]; ok && id != got.ID {
					t.Fatalf("service %s has ID %d, had %d", want.Name, got.ID, id)
				}
				serviceIDs[want.Key()] = got.ID
				var eligible []uint32
				warming := false
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
					flags, up, maybe := wantFlags(want, &want.Backends[j], &facts)
					if record.Flags != flags || table.Keys[id] != want.BackendKey(&want.Backends[j]) {
						t.Fatalf("backend %s has flags %b, want %b", table.Keys[id], record.Flags, flags)
					}
					if up && b.Weight > 0 {
						eligible = append(eligible, id)
					}
					warming = warming || maybe && b.Weight > 0
				}
				if want := warming && len(eligible) == 0; got.Warming != want {
					t.Fatalf("warming is %t, want %t", got.Warming, want)
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

// wantFlags says what the contract makes of a backend: its flags, whether it can serve,
// and whether that is not known yet.
func wantFlags(s *ServiceSpec, b *BackendSpec, facts *Facts) (flags Flags, up, maybe bool) {
	state := facts.States[s.BackendKey(b)]
	hop, known := facts.NextHops[b.Address]
	way := known && hop.MAC != packet.MAC{} && (hop.OnLink || s.Mode != DSR)
	flags = Present
	if state == StateUp || state == StateUnknown {
		flags |= Usable
	}
	if state == StateSuspect {
		flags |= Suspect
	}
	if way {
		flags |= HasMAC
	}
	if state == StateUp && way {
		flags |= Up
	}
	maybe = state == StateUnknown && (way || !known) || state == StateUp && !known
	return flags, flags&Up != 0, maybe
}

func identity(t *Table, id uint32) string { return t.Keys[id].String() }

// drawSpec draws a few services out of three, with a few backends out of five.
func drawSpec(t *rapid.T) (Spec, Facts) {
	facts := Facts{States: map[BackendKey]State{}, NextHops: map[netip.Addr]NextHop{}}
	var spec Spec
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s1", "s2", "s3"}), 0, 3, rapid.ID).Draw(t, "services") {
		s := webSpec(rapid.SampledFrom(algorithms[:5]).Draw(t, "algorithm")).Services[0] // with a small table
		s.Health = validSpec().Services[1].Health
		s.Name = name
		s.First += uint16(name[1])
		s.Last = s.First
		s.Mode = rapid.SampledFrom([]Mode{NAT, DSR}).Draw(t, "mode")
		for _, b := range rapid.SliceOfNDistinct(rapid.ByteRange(1, 5), 0, 5, rapid.ID).Draw(t, "backends") {
			backend := BackendSpec{
				Name:    fmt.Sprint("b", b),
				Address: netip.AddrFrom4([4]byte{10, 0, rapid.ByteRange(0, 1).Draw(t, "net"), b}),
				Weight:  rapid.Uint16Range(0, 3).Draw(t, "weight"),
			}
			s.Backends = append(s.Backends, backend)
			facts.States[s.BackendKey(&backend)] = State(rapid.IntRange(0, 3).Draw(t, "state"))
			if rapid.IntRange(0, 3).Draw(t, "known") > 0 {
				facts.NextHops[backend.Address] = rapid.SampledFrom([]NextHop{hop, hop, {MAC: packet.MAC{3}}, {}}).Draw(t, "hop")
			}
		}
		spec.Services = append(spec.Services, s)
	}
	return spec, facts
}

package balancer

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestKeyStrings(t *testing.T) {
	for _, test := range []struct {
		service     string
		protocol    Protocol
		first, last uint16
		backend     string
		port        uint16
		want        string
	}{
		{"192.0.2.10", TCP, 80, 80, "10.0.0.11", 8080, "10.0.0.11:8080 of 192.0.2.10:80/tcp"},
		{"192.0.2.10", TCP, 80, 80, "10.0.0.11", 0, "10.0.0.11:80 of 192.0.2.10:80/tcp"},
		{"2001:db8::1", UDP, 8000, 8099, "2001:db8::2", 0, "2001:db8::2 of [2001:db8::1]:8000-8099/udp"},
		{"2001:db8::1", UDP, 8000, 8099, "2001:db8::2", 53, "[2001:db8::2]:53 of [2001:db8::1]:8000-8099/udp"},
		{"192.0.2.10", TCP, 0, MaxPort, "10.0.0.11", 0, "10.0.0.11 of 192.0.2.10:any/tcp"},
	} {
		s := ServiceSpec{Name: "n", Address: netip.MustParseAddr(test.service), Protocol: test.protocol, First: test.first, Last: test.last}
		b := BackendSpec{Name: "n", Address: netip.MustParseAddr(test.backend), Port: test.port}
		if got := s.BackendKey(&b).String(); got != test.want {
			t.Errorf("key is %q, want %q", got, test.want)
		}
		if s.BackendKey(&b).Service != s.Key() {
			t.Errorf("%v is not of its service %v", s.BackendKey(&b), s.Key())
		}
	}
}

// An edit of the file that leaves everything what it is: other names, another order,
// the default port written out or left away.
func drawEdit(t *rapid.T, spec *Spec) Spec {
	edited := Spec{Services: slices.Clone(spec.Services)}
	for i := range edited.Services {
		s := &edited.Services[i]
		if rapid.Bool().Draw(t, "rename service") {
			s.Name = fmt.Sprint("renamed-", i)
		}
		s.Backends = slices.Clone(s.Backends)
		for j := range s.Backends {
			b := &s.Backends[j]
			if rapid.Bool().Draw(t, "rename backend") {
				b.Name = fmt.Sprint("renamed-", j)
			}
			switch {
			case s.First != s.Last:
			case b.Port == 0 && rapid.Bool().Draw(t, "write port out"):
				b.Port = s.First
			case b.Port == s.First && rapid.Bool().Draw(t, "leave port away"):
				b.Port = 0
			}
		}
		s.Backends = rapid.Permutation(s.Backends).Draw(t, "backends")
	}
	edited.Services = rapid.Permutation(edited.Services).Draw(t, "services")
	return edited
}

// Whatever an edit does to names, order and defaults: every backend keeps its ID and
// record, every service its ID, and every packet its backend.
func TestEditsOfLabelsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCompiler(NewLoads())
		spec, facts := drawSpec(t)
		before := commit(t, c, &spec, &facts)
		edited := drawEdit(t, &spec)
		after := commit(t, c, &edited, &facts)
		if !slices.Equal(before.Keys, after.Keys) {
			t.Fatalf("backends were %v, are %v", before.Keys, after.Keys)
		}
		for i := range edited.Services {
			key := edited.Services[i].Key()
			now := &after.Services[i]
			was := &before.Services[slices.IndexFunc(spec.Services, func(s ServiceSpec) bool { return s.Key() == key })]
			if was.ID != now.ID {
				t.Errorf("service %v had ID %d, has %d", key, was.ID, now.ID)
			}
			for j, id := range now.Backends {
				a, b := before.Backends[id], after.Backends[id]
				if a.Service, b.Service = 0, 0; a != b { // the index follows the order
					t.Errorf("the record of %v was %+v, is %+v", after.Keys[id], a, b)
				}
				if want := (BackendRef{edited.Services[i].Name, edited.Services[i].Backends[j].Name}); after.Refs[id] != want {
					t.Errorf("%v is called %v, want %v", after.Keys[id], after.Refs[id], want)
				}
			}
			for n := range uint32(50) {
				k := clientKey(n)
				a, ok1 := was.Consistent(&k)
				b, ok2 := now.Consistent(&k)
				if a != b || ok1 != ok2 {
					t.Errorf("client %d went to %d, %t, goes to %d, %t", n, a, ok1, b, ok2)
				}
			}
		}
	})
}

// A service that keeps its name but moves is another one, and so is a backend.
func TestAnotherPlaceIsAnotherBackend(t *testing.T) {
	for name, edit := range map[string]func(s *ServiceSpec){
		"backend's address":  func(s *ServiceSpec) { s.Backends[0].Address = netip.MustParseAddr("10.9.9.9") },
		"backend's port":     func(s *ServiceSpec) { s.Backends[0].Port = 9 },
		"service's address":  func(s *ServiceSpec) { s.Address = netip.MustParseAddr("192.0.2.77") },
		"service's port":     func(s *ServiceSpec) { s.First, s.Last = 81, 81 },
		"service's protocol": func(s *ServiceSpec) { s.Protocol = UDP },
	} {
		c := NewCompiler(NewLoads())
		spec := webSpec(RoundRobin, 1)
		before := mustCompile(t, c, spec, Facts{})
		edit(&spec.Services[0])
		after := mustCompile(t, c, spec, Facts{})
		if a, b := before.Services[0].Backends[0], after.Services[0].Backends[0]; a == b {
			t.Errorf("%s: the backend kept ID %d, although its flows cannot go on there", name, a)
		}
	}
}

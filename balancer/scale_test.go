package balancer

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/testutil"
)

// largeSpec is services with 20 backends each on 40 addresses, as of a hosting company
// that has each of its servers in many services.
func largeSpec(services int) Spec {
	var spec Spec
	for i := range services {
		s := ServiceSpec{
			Name:      fmt.Sprint("s", i),
			Address:   netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}),
			First:     80,
			Last:      80,
			Protocol:  TCP,
			Algorithm: Maglev,
			Health:    HealthSpec{Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		}
		for j := range 20 {
			s.Backends = append(s.Backends, BackendSpec{
				Name:    fmt.Sprint("b", j),
				Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + (i+j)%40)}),
				Port:    8080,
				Weight:  1,
			})
		}
		spec.Services = append(spec.Services, s)
	}
	return spec
}

// allUp are the facts on a good day.
func allUp(spec *Spec) *Facts {
	f := &Facts{NextHops: hops(spec), States: map[BackendKey]State{}}
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			f.States[s.BackendKey(&s.Backends[j])] = StateUp
		}
	}
	return f
}

// takeDown sets the address down in all services.
func (f *Facts) takeDown(a netip.Addr, s State) {
	for key := range f.States {
		if key.Address == a {
			f.States[key] = s
		}
	}
}

// Of 200 services there are 40 sets of servers, and so as many tables; and when one server
// goes down, only the sets that have it get another.
func TestTablesAtScale(t *testing.T) {
	spec := largeSpec(200)
	facts := allUp(&spec)
	c := NewCompiler(NewLoads())
	first := commit(t, c, &spec, facts)
	if n := len(c.last.tables); n != 40 {
		t.Errorf("200 services on 40 sets of servers have %d tables, want 40", n)
	}
	facts.takeDown(netip.MustParseAddr("10.0.0.11"), StateDown)
	second := commit(t, c, &spec, facts)
	anew := 0
	for i := range second.Services {
		if first.Services[i].selection != second.Services[i].selection {
			anew++
		}
	}
	if n := len(c.last.tables); n != 40 || anew != 100 {
		t.Errorf("with one server down there are %d tables, and %d selections are new; want 40 and 100", n, anew)
	}
}

func BenchmarkCompile(b *testing.B) {
	spec := largeSpec(1000)
	facts := allUp(&spec)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			commit(b, NewCompiler(NewLoads()), &spec, facts)
		}
	})
	c := NewCompiler(NewLoads())
	commit(b, c, &spec, facts)
	compile := func(b *testing.B) {
		d, err := c.Compile(&spec, facts)
		if err != nil {
			b.Fatal(err)
		}
		c.Commit(d)
	}
	b.Run("nothing-changed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			compile(b)
		}
	})
	b.Run("one-weight", func(b *testing.B) {
		for b.Loop() {
			spec.Services[500].Backends[7].Weight ^= 3
			compile(b)
		}
	})
	b.Run("one-address", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			facts.takeDown(netip.MustParseAddr("10.0.0.20"), []State{StateDown, StateUp}[i%2])
			compile(b)
		}
	})
	b.Run("memory", func(b *testing.B) {
		loads := NewLoads()
		for b.Loop() {
			before := testutil.LiveHeap()
			c := NewCompiler(loads)
			d, err := c.Compile(&spec, facts)
			if err != nil {
				b.Fatal(err)
			}
			c.Commit(d)
			b.ReportMetric(float64(testutil.LiveHeap()-before)/1e6, "MB")
			runtime.KeepAlive(c)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	spec := largeSpec(1000)
	b.ReportAllocs()
	for b.Loop() {
		if problems := spec.Validate(); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func BenchmarkEqual(b *testing.B) {
	one, two := largeSpec(1000), largeSpec(1000)
	for b.Loop() {
		for i := range one.Services {
			if !one.Services[i].Equal(&two.Services[i]) {
				b.Fatal(i)
			}
		}
	}
}

package report

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
)

// A service is full if all are that get new flows; those that get none have no say.
func TestFull(t *testing.T) {
	v := &control.View{Table: &balancer.Table{Services: []balancer.Service{{Backends: []uint32{3, 4, 5}}}}}
	for _, c := range []struct {
		shares [3]int
		full   string // the IDs
		want   bool
	}{
		{[3]int{100, 100, 0}, "34", true},
		{[3]int{100, 40, 0}, "3", false},
		{[3]int{0, 0, 100}, "34", false},
		{[3]int{0, 0, 100}, "5", true},
		{[3]int{}, "", false},
	} {
		s := control.ServiceView{Spec: &balancer.ServiceSpec{Name: "web"}}
		for _, share := range c.shares {
			s.Backends = append(s.Backends, control.BackendView{Share: share})
			if share > 0 {
				s.Up++
			}
		}
		v.Services = []control.ServiceView{s}
		is := func(id uint32) bool {
			for _, r := range c.full {
				if uint32(r-'0') == id {
					return true
				}
			}
			return false
		}
		if got := full(v, 0, is); got != c.want {
			t.Errorf("shares %v, of which %q are full: %v, want %v", c.shares, c.full, got, c.want)
		}
	}
}

// Who is up, and has let no client in since three, is named where replies pass.
func TestMute(t *testing.T) {
	loads := balancer.NewLoads()
	v := &control.View{Table: &balancer.Table{Services: []balancer.Service{{Backends: []uint32{0, 1, 2, 3}}, {Backends: []uint32{4}}}}}
	web, dsr := control.ServiceView{Spec: &balancer.ServiceSpec{Name: "web", Protocol: balancer.TCP}}, control.ServiceView{Spec: &balancer.ServiceSpec{Name: "dsr", Protocol: balancer.TCP, Mode: balancer.DSR}}
	for _, name := range []string{"a", "b", "c", "d"} {
		web.Backends = append(web.Backends, control.BackendView{Name: name, State: control.BackendUp})
	}
	web.Backends[3].State = control.BackendDown
	dsr.Backends = []control.BackendView{{Name: "a", State: control.BackendUp}}
	v.Services = []control.ServiceView{web, dsr}
	s := &Source{Loads: loads, View: func() *control.View { return v }}
	if names, n := s.Mute(); names != "" || n != 0 {
		t.Errorf("nobody was there, and mute are %s, %d times", names, n)
	}
	for range 3 {
		for _, id := range []uint32{0, 3, 4} {
			loads.Ignore(id)
		}
		loads.Refuse(1)
	}
	loads.Refuse(2)
	if names, n := s.Mute(); names != "web/a, web/b" || n != 6 {
		t.Errorf("mute are %s, %d times", names, n)
	}
	loads.Accept(1)
	if names, n := s.Mute(); names != "web/a" || n != 3 {
		t.Errorf("when b has let somebody in, mute are %s, %d times", names, n)
	}
}

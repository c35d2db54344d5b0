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

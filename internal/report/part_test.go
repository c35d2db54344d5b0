package report

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
)

// What a backend is said to have of new flows, besides its state.
func TestPart(t *testing.T) {
	for _, c := range []struct {
		state    string
		backup   bool
		share    int
		fallback string
		want     string
	}{
		{control.BackendUp, false, 100, "", ""},
		{control.BackendUp, false, 40, "", "ramping 40%"},
		{control.BackendUp, true, 0, "", "backup, not needed"},
		{control.BackendUp, true, 100, control.FallbackBackup, "backup, in use"},
		{control.BackendUp, false, 0, control.FallbackDown, "the service is taken down"},
		{control.BackendUp, true, 0, control.FallbackDown, "the service is taken down"},
		{control.BackendDown, false, 100, control.FallbackPanic, "in use all the same: panic"},
		{control.BackendDown, false, 0, control.FallbackBackup, ""},
		{control.BackendDrain, false, 0, "", ""},
	} {
		v := &control.View{Link: control.LinkView{Up: true}, Services: []control.ServiceView{{
			Spec: &balancer.ServiceSpec{Backends: []balancer.BackendSpec{{MaxConns: 9}}}, Fallback: c.fallback,
			Backends: []control.BackendView{{State: c.state, Backup: c.backup, Share: c.share}},
		}}}
		got := describe(v, &v.Services[0], 0)
		if got.Reason != c.want || got.State != c.state || got.Share != c.share || got.Backup != c.backup || got.MaxConns != 9 {
			t.Errorf("%+v: %+v", c, got)
		}
		v.Link.Up = false
		if got := describe(v, &v.Services[0], 0); got.Share != 0 {
			t.Errorf("%+v, without a link: %+v", c, got)
		}
	}
}

package report

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

// Who is not up is named, with why: the latest first, and whom an operator has disabled last.
func TestNotUp(t *testing.T) {
	at := func(minute int) time.Time { return time.Unix(int64(60*minute), 0) }
	key := balancer.BackendKey{Address: netip.MustParseAddr("10.0.0.11"), Port: 8080}
	v := &control.View{Link: control.LinkView{Up: true, Since: at(99), Why: "no carrier"}, Services: []control.ServiceView{{
		Spec: &balancer.ServiceSpec{Name: "web"}, Healthy: 2, Backends: []control.BackendView{
			{Name: "disabled", State: control.BackendDisabled, Since: at(9), Check: "not checked"},
			{Name: "up", State: control.BackendUp, Since: at(8), Check: "ok"},
			{Name: "longer", State: control.BackendDown, Since: at(1), Check: "connection refused"},
			{Name: "lately", State: control.BackendDown, Since: at(7), Check: "HTTP 503", Key: key},
		},
	}, {
		Spec: &balancer.ServiceSpec{Name: "api"}, Backends: []control.BackendView{
			{Name: "drain", State: control.BackendDrain, Since: at(8)},
			{Name: "apart", State: control.BackendUnreachable, Reason: "no route", Since: at(2), Check: "ok"},
			{Name: "new", State: control.BackendWarming, Since: at(3)},
		},
	}}}
	want := []string{
		"web/lately 10.0.0.11:8080 down: HTTP 503", "api/new invalid IP warming: ", "api/apart invalid IP unreachable: no route",
		"web/longer invalid IP down: connection refused", "web/disabled invalid IP disabled: ",
	}
	if got := texts(notUp(v)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	v.Services[1].Backends = append(v.Services[1].Backends, control.BackendView{Name: "first", State: control.BackendDown, Since: at(8)})
	if got := texts(notUp(v)); len(got) != maxNotUp || got[0] != "api/first invalid IP down: " || got[4] != want[3] {
		t.Errorf("of one more: %q", got)
	}
	v.Link.Up = false
	if got := texts(notUp(v)); len(got) != maxNotUp || got[0] != "web/up invalid IP unreachable: no carrier" {
		t.Errorf("without a link: %q", got)
	}
	if got := notUp(&control.View{}); len(got) != 0 {
		t.Errorf("of nobody: %+v", got)
	}
}

func texts(list []api.NotUp) (texts []string) {
	for _, b := range list {
		texts = append(texts, b.Service+"/"+b.Backend+" "+b.Address+" "+b.State+": "+b.Reason)
	}
	return texts
}

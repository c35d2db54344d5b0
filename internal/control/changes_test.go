package control

import (
	"errors"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// viewOf returns a View of one service with backends in these states.
func viewOf(states ...string) *View {
	spec := &balancer.ServiceSpec{Name: "web", Address: addr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP}
	s := ServiceView{Spec: spec}
	for i, state := range states {
		k := balancer.BackendKey{Service: spec.Key(), Address: addr("10.0.0.11"), Port: uint16(8000 + i)}
		b := BackendView{Name: string(rune('a' + i)), Key: k, State: state, Check: "refused"}
		if state == BackendUnreachable {
			b.Reason = "own address"
		}
		s.Backends = append(s.Backends, b)
		switch state {
		case BackendUp:
			s.Up++
		case BackendWarming:
			s.Warming = true
		}
	}
	s.Warming = s.Warming && s.Up == 0
	s.Lost = s.Up == 0 && !s.Warming
	return &View{Link: LinkView{Up: true}, Services: []ServiceView{s}}
}

func TestChanges(t *testing.T) {
	up, down, warming, drain, unreachable := BackendUp, BackendDown, BackendWarming, BackendDrain, BackendUnreachable
	with := func(v *View, f func(*View)) *View { f(v); return v }
	at := func(mac byte) func(*View) {
		return func(v *View) { v.Ports = []egress.Port{{Name: "eth0", Up: true, MAC: macOf(mac)}} }
	}
	two := func(up bool) func(*View) {
		return func(v *View) {
			v.Ports = []egress.Port{{Name: "eth0", Up: true}, {Name: "eth1", Up: up, Why: "no carrier"}}
		}
	}
	broken := errors.New("no memory")
	for name, c := range map[string]struct {
		old, now *View
		want     []string
	}{
		"nothing":                        {viewOf(up, down), viewOf(up, down), nil},
		"first answers":                  {viewOf(warming, warming), viewOf(up, warming), []string{"info: backend is up (a)"}},
		"death":                          {viewOf(up, up), viewOf(down, up), []string{"warn: backend is down (a): refused"}},
		"the last one's death":           {viewOf(up, down), viewOf(down, down), []string{"warn: backend is down (a): refused", "warn: service has no backend in rotation"}},
		"return":                         {viewOf(down, down), viewOf(up, down), []string{"info: backend is up (a)", "warn: service has a backend in rotation again #over"}},
		"never any":                      {viewOf(warming), viewOf(down), []string{"warn: backend is down (a): refused", "warn: service has no backend in rotation"}},
		"drained":                        {viewOf(up, up), viewOf(drain, up), []string{"info: backend drains: it keeps its flows, and gets no new ones (a)"}},
		"drains still":                   {viewOf(drain, up), viewOf(drain, up), nil},
		"drained no more":                {viewOf(drain, up), viewOf(up, up), []string{"info: backend is up: it gets new flows again (a)"}},
		"the last one drained":           {viewOf(up), viewOf(drain), []string{"info: backend drains: it keeps its flows, and gets no new ones (a)", "warn: service has no backend in rotation"}},
		"unreachable":                    {viewOf(up, up), viewOf(unreachable, up), []string{"warn: backend is unreachable (a): own address"}},
		"unreachable at the start":       {viewOf(warming, up), viewOf(unreachable, up), []string{"warn: backend is unreachable (a): own address"}},
		"reached again":                  {viewOf(unreachable, up), viewOf(up, up), []string{"warn: backend is up: it can be reached again (a)"}},
		"reached again, and not healthy": {viewOf(unreachable, up), viewOf(warming, up), []string{"warn: backend can be reached again (a)"}},
		"link lost":                      {viewOf(up), with(viewOf(up), func(v *View) { v.Link = LinkView{Why: "no carrier"} }), []string{"warn: the link is down; what is known of the backends stays: no carrier"}},
		"link back":                      {with(viewOf(up), func(v *View) { v.Link = LinkView{} }), viewOf(up), []string{"warn: the link is up; all backends are probed #over"}},
		"another MAC address": {
			with(viewOf(up), at(1)), with(viewOf(up), at(2)),
			[]string{"warn: the interface has another MAC address, and its neighbours send to the old one until they ask again; the kernel can tell them (sysctls arp_notify and ndisc_notify) <eth0>: it was 02:00:00:00:00:01, and is 02:00:00:00:00:02"},
		},
		"the first MAC address":  {viewOf(up), with(viewOf(up), at(1)), nil},
		"a port of two is lost":  {with(viewOf(up), two(true)), with(viewOf(up), two(false)), []string{"warn: a port is down; what is behind it is reached by others, or not at all <eth1>: no carrier"}},
		"and is back":            {with(viewOf(up), two(false)), with(viewOf(up), two(true)), []string{"warn: a port is up again <eth1> #over"}},
		"a slave comes and goes": {with(viewOf(up), two(false)), with(viewOf(up), func(v *View) { two(true)(v); v.Ports[1].Name = "eth2" }), nil},
		"commit failed":          {viewOf(up), with(viewOf(up), func(v *View) { v.Failure = broken }), []string{"error: the table is not what it should be; it is tried again: no memory"}},
		"still failing":          {with(viewOf(up), func(v *View) { v.Failure = errors.New("no memory") }), with(viewOf(up), func(v *View) { v.Failure = broken }), nil},
		"own trouble":            {viewOf(up), with(viewOf(up), func(v *View) { v.Troubles = []Trouble{{"a", "no a"}, {"b", "no b"}} }), []string{"error: " + cannotAsk + ": no a", "error: " + cannotAsk + ": no b"}},
		"one trouble more, one over": {with(viewOf(up), func(v *View) { v.Troubles = []Trouble{{"a", "no a"}} }), with(viewOf(up), func(v *View) { v.Troubles = []Trouble{{"b", "no b"}} }),
			[]string{"error: " + cannotAsk + ": no b", "warn: over: " + cannotAsk + ": a #over"}},
		"a service comes":       {&View{Link: LinkView{Up: true}}, viewOf(up), []string{"info: backend is up (a)"}},
		"a service comes, dead": {&View{Link: LinkView{Up: true}}, viewOf(down), []string{"warn: backend is down (a): refused", "warn: service has no backend in rotation"}},
		"a service goes":        {viewOf(up), &View{Link: LinkView{Up: true}}, nil},
		"another order": {viewOf(up, down), with(viewOf(up, down), func(v *View) {
			v.Spec = &balancer.Spec{}
			slices.Reverse(v.Services[0].Backends)
		}), nil},
	} {
		var got []string
		for _, e := range Changes(c.old, c.now) {
			line := string(e.Severity) + ": " + e.Text
			if e.Backend != "" {
				line += " (" + e.Backend + ")"
			}
			if e.Interface != "" {
				line += " <" + e.Interface + ">"
			}
			if e.Reason != "" {
				line += ": " + e.Reason
			}
			if e.Over {
				line += " #over"
			}
			if e.Kind == "" {
				t.Errorf("%s: %+v is of no kind", name, e)
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Without a link nothing is green, and what is known to be down stays down.
func TestShownWithoutALink(t *testing.T) {
	v := viewOf(BackendUp, BackendDown, BackendUnreachable)
	v.Link = LinkView{Why: "no carrier"}
	for i, want := range []string{BackendUnreachable, BackendDown, BackendUnreachable} {
		if state, _, _ := v.Shown(&v.Services[0].Backends[i]); state != want {
			t.Errorf("backend %d is shown as %s, want %s", i, state, want)
		}
	}
	if _, why, _ := v.Shown(&v.Services[0].Backends[0]); why != "no carrier" {
		t.Errorf("the reason is %q", why)
	}
}

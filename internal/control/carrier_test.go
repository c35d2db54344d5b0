package control

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// While one of two ports is away, and right after its return, bad answers of those behind it
// are none, as without any carrier; of those behind the other one they are.
func TestOnePortAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		check := &spec.Services[0].Health
		check.Interval, check.Timeout, check.Fall = 200*time.Millisecond, 200*time.Millisecond, 2
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Ports = append(w.snapshot.Ports, egress.Port{Name: "eth1", Ifindex: 3, Up: true, MAC: [6]byte{2, 0, 0, 0, 9, 8}, MTU: 1500})
		behind := w.snapshot.Hops[addr("10.0.0.12")]
		behind.Link.Port = 1
		w.snapshot.Hops[addr("10.0.0.12")] = behind
		r := start(t, w, spec)
		after(time.Second)
		r.expect("at first", map[string]string{"web/a": "up", "web/b": "up"})
		port := func(up bool, hop egress.Hop) {
			w.change(func(s *egress.Snapshot) {
				s.Ports = append([]egress.Port(nil), s.Ports...)
				s.Ports[1].Up = up
				s.Hops[addr("10.0.0.12")] = hop
			})
		}
		for range 2 {
			w.answer(errors.New("i/o timeout"), "10.0.0.12")
			port(false, egress.Hop{Why: "no route"})
			after(2 * time.Second)
			r.expect("while it is away", map[string]string{"web/a": "up", "web/b": "unreachable"})
			port(true, behind)
			after(time.Second)
			r.expect("while neighbours are found", map[string]string{"web/a": "up", "web/b": "up"})
			if r.flags("web", "b")&balancer.Usable == 0 {
				t.Error("its flows are not its any more")
			}
			w.answer(nil, "10.0.0.12")
			after(reachGrace)
			r.expect("when they are", map[string]string{"web/a": "up", "web/b": "up"})
		}
		w.answer(errRefused, "10.0.0.11")
		port(false, egress.Hop{Why: "no route"})
		after(time.Second)
		r.expect("the other's answers", map[string]string{"web/a": "down"})
		w.answer(nil, "10.0.0.11")
		w.answer(errRefused, "10.0.0.12")
		port(true, behind)
		after(reachGrace + time.Second)
		r.expect("when neighbours should be found", map[string]string{"web/a": "up", "web/b": "down"})
	})
}

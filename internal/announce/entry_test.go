package announce

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// Whoever claims an address that is held changes nothing but what is told, and is one rival
// however many claim it in turn; a probe is no claim then, but is one while it is asked for.
func TestHeard(t *testing.T) {
	now := time.Now()
	e := entry{address: four, how: balancer.AnnounceARP, phase: holds}
	e.heard(claim{four, there, true}, now)
	if s := e.state(); s.Conflict != "" {
		t.Errorf("after a probe: %+v", s)
	}
	for i := range byte(100) {
		e.heard(claim{four, [6]byte{2, 0, 0, 0, 1, i}, false}, now)
	}
	if s := e.state(); !s.Held || s.Conflict != "02:00:00:00:01:00" {
		t.Errorf("after a hundred claims: %+v", s)
	}

	e = entry{address: four, how: balancer.AnnounceARP, phase: asks}
	e.heard(claim{four, there, true}, now)
	if s := e.state(); s.Held || s.Conflict != "02:00:00:00:00:02" || e.phase != refused {
		t.Errorf("while it is asked for: %+v", s)
	}
	if wait := e.next.Sub(now); wait < refusedTime || wait > 2*refusedTime {
		t.Errorf("the next try is in %v", wait)
	}
}

package announce

import (
	"strings"
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

// What sysctl is to be told of a VLAN's device has a slash for the dot in its name (sysctl(8)).
func TestIgnoredByVLAN(t *testing.T) {
	l := look{ignores: map[string]int{"eth0.5": 2}}
	if err := l.answered(four, "eth0.5"); err == nil || !strings.HasSuffix(err.Error(), "arp_ignore is 2 on eth0.5, by which the kernel does not answer who asks for "+four.String()+
		": sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.eth0/5.arp_ignore=1") {
		t.Error(err)
	}
}

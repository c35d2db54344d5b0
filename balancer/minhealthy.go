package balancer

import (
	"fmt"
	"strconv"
	"strings"
)

// MinHealthy is how many backends of a service have to be healthy: a count, or a share of
// those that have a weight and are no backup. The zero value asks for none.
type MinHealthy struct {
	Count   uint16
	Percent uint8 // up to 100; 0: Count counts
}

// Of returns how many of n backends have to be healthy: a part of one is a whole one.
func (m MinHealthy) Of(n int) int {
	if m.Percent > 0 {
		return (n*int(m.Percent) + 99) / 100
	}
	return int(m.Count)
}

// String returns it as the config has it: 2, 50% or none.
func (m MinHealthy) String() string {
	switch {
	case m == MinHealthy{}:
		return "none"
	case m.Percent > 0:
		return fmt.Sprintf("%d%%", m.Percent)
	}
	return strconv.Itoa(int(m.Count))
}

// ParseMinHealthy reads a number, a percentage or none.
func ParseMinHealthy(s string) (MinHealthy, error) {
	if s == "none" {
		return MinHealthy{}, nil
	}
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || percent && n > 100 {
		return MinHealthy{}, fmt.Errorf(`%q is no number of backends; want one as in 2, a share as in "50%%", or none`, s)
	}
	if percent {
		return MinHealthy{Percent: uint8(n)}, nil
	}
	return MinHealthy{Count: uint16(n)}, nil
}

// shares checks who gets new flows when.
func (v *validator) shares(s *ServiceSpec) {
	if s.SlowStart < 0 {
		v.addf("slow-start", "%v is no time to start in; want 0s or more", s.SlowStart)
	}
	backups, limited := 0, none
	for j := range s.Backends {
		if s.Backends[j].Backup {
			backups++
		}
		if s.Backends[j].MaxConns > 0 && limited == none {
			limited = j
		}
	}
	if limited != none && s.Protocol == UDP {
		v.backend = limited
		v.addf("max-conns", "counts connections, and udp has none: anybody could fill the backend by datagrams with false sources; want no max-conns for udp")
		v.backend = none
	}
	ordinary := len(s.Backends) - backups
	switch m := s.MinHealthy; {
	case s.BelowMin > TakeDown:
		v.addf("below-min-healthy", "%v is no way to go on; want panic, backup or down", s.BelowMin)
	case m == MinHealthy{}:
		if s.BelowMin != Panic {
			v.addf("below-min-healthy", "%v without min-healthy never comes true; want min-healthy too", s.BelowMin)
		}
	case m.Percent > 100:
		v.addf("min-healthy", "%d%% is more than all; want 100%% at most", m.Percent)
	case m.Of(ordinary) > ordinary && len(s.Backends) > 0:
		v.addf("min-healthy", "%v is more than the %d that are no backup; want %d at most, or a share as in 50%%", m, ordinary, ordinary)
	case s.BelowMin == JoinBackup && backups == 0 && len(s.Backends) > 0:
		v.addf("below-min-healthy", "backup has backup backends join, and there are none; want a backend with backup: true, or panic or down")
	}
}

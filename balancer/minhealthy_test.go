package balancer

import (
	"strings"
	"testing"
)

func TestMinHealthy(t *testing.T) {
	for text, want := range map[string][]int{ // of 0, 1, 2, 3, 4 and 10 backends
		"none": {0, 0, 0, 0, 0, 0}, "1": {1, 1, 1, 1, 1, 1}, "3": {3, 3, 3, 3, 3, 3},
		"50%": {0, 1, 1, 2, 2, 5}, "100%": {0, 1, 2, 3, 4, 10}, "1%": {0, 1, 1, 1, 1, 1}, "34%": {0, 1, 1, 2, 2, 4},
	} {
		m, err := ParseMinHealthy(text)
		if err != nil || m.String() != text {
			t.Errorf("%s is read as %v, %v", text, m, err)
		}
		for i, n := range []int{0, 1, 2, 3, 4, 10} {
			if got := m.Of(n); got != want[i] {
				t.Errorf("%s of %d is %d, want %d", text, n, got, want[i])
			}
		}
	}
	for _, text := range []string{"", "0", "-1", "0%", "101%", "50 %", "1.5", "65536", "half", "%"} {
		if m, err := ParseMinHealthy(text); err == nil {
			t.Errorf("%q is read as %v", text, m)
		}
	}
}

func TestValidateShares(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*ServiceSpec)
		want string // part of the only problem; empty: none
	}{
		"all of it": {func(s *ServiceSpec) {
			s.SlowStart, s.MinHealthy, s.BelowMin = 1, MinHealthy{Count: 2}, JoinBackup
			s.Backends[2].Backup, s.Backends[0].MaxConns = true, 5
		}, ""},
		"all are backup": {func(s *ServiceSpec) {
			s.Backends[0].Backup, s.Backends[1].Backup, s.Backends[2].Backup = true, true, true
		}, ""},
		"backwards":               {func(s *ServiceSpec) { s.SlowStart = -1 }, "slow-start: -1ns"},
		"more than there are":     {func(s *ServiceSpec) { s.MinHealthy.Count = 4 }, "min-healthy: 4 is more than the 3 that are no backup"},
		"more than ordinary":      {func(s *ServiceSpec) { s.MinHealthy.Count = 3; s.Backends[1].Backup = true }, "want 2 at most"},
		"more than all":           {func(s *ServiceSpec) { s.MinHealthy.Percent = 101 }, "want 100% at most"},
		"nobody yet":              {func(s *ServiceSpec) { s.MinHealthy.Count = 4; s.Backends = nil }, ""},
		"without a minimum":       {func(s *ServiceSpec) { s.BelowMin = TakeDown }, "below-min-healthy: down without min-healthy"},
		"nobody who could join":   {func(s *ServiceSpec) { s.BelowMin, s.MinHealthy.Count = JoinBackup, 1 }, "backup: true"},
		"no word":                 {func(s *ServiceSpec) { s.BelowMin, s.MinHealthy.Count = 7, 1 }, "want panic, backup or down"},
		"connections of udp":      {func(s *ServiceSpec) { s.Protocol = UDP; s.Backends[1].MaxConns = 1 }, "services[0].backends[1].max-conns"},
		"connections of any mode": {func(s *ServiceSpec) { s.Mode, s.Backends[1].MaxConns = DSR, 1 }, ""},
	} {
		spec := webSpec(RoundRobin, 1, 1, 1)
		for j := range spec.Services[0].Backends {
			spec.Services[0].Backends[j].Port = 80
		}
		test.edit(&spec.Services[0])
		got := spec.Validate()
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0].Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, got, test.want)
		}
	}
	if b, err := ParseBelowMinHealthy("down"); b != TakeDown || err != nil || JoinBackup.String() != "backup" {
		t.Errorf("down is %v, %v", b, err)
	}
}

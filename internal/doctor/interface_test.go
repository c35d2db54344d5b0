package doctor

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
)

func TestOfInterface(t *testing.T) {
	good := nic.State{Name: "eth0", RX: 2, TX: 2, MTU: 1500}
	with := func(change func(*nic.State)) nic.State {
		s := good
		change(&s)
		return s
	}
	all := []int{0, 1}
	for name, c := range map[string]struct {
		now  nic.State
		s    Served
		code string // empty: nothing is found
		loss Severity
		text string
	}{
		"all well":           {good, Served{Queues: all, MaxMTU: 1578, Mode: bpf.Native}, "", Warning, ""},
		"one of two":         {good, Served{Queues: []int{1}}, "queues", Cannot, "1 of 2 RX queues are not served (0): about 50%"},
		"by RSS's table":     {with(func(s *nic.State) { s.Hash = []uint32{0, 0, 0, 1} }), Served{Queues: []int{1}}, "queues", Cannot, "about 75%"},
		"RSS leaves it out":  {with(func(s *nic.State) { s.Hash = []uint32{1, 1} }), Served{Queues: []int{1}}, "", Warning, ""},
		"no room for more":   {good, Served{Queues: []int{0}, Trouble: errors.New("no memory")}, "queues", Cannot, "dropped; no memory"},
		"MTU":                {with(func(s *nic.State) { s.MTU = 9000 }), Served{Queues: all, MaxMTU: 3626}, "mtu", Cannot, "the MTU is 9000, and packets of 3626 are taken"},
		"no larger frames":   {with(func(s *nic.State) { s.MTU = 3000 }), Served{Queues: all, MaxMTU: 1578, Trouble: errors.New("no memory")}, "mtu", Cannot, "set it to 1578 at most (there are no larger frames: no memory)"},
		"MTU, not served":    {with(func(s *nic.State) { s.MTU = 9000 }), Served{Queues: all}, "", Warning, ""},
		"LRO":                {with(func(s *nic.State) { s.Offloads.LRO = true }), Served{Queues: all, Mode: bpf.Native}, "lro", Cannot, "ethtool -K eth0 lro off"},
		"LRO in hardware":    {with(func(s *nic.State) { s.Offloads.GROHardware = true }), Served{Queues: all, Mode: bpf.Native}, "lro", Cannot, "ethtool -K eth0 rx-gro-hw off"},
		"LRO, generic":       {with(func(s *nic.State) { s.Offloads = nic.Offloads{LRO: true, GROHardware: true} }), Served{Queues: all, Mode: bpf.Generic}, "", Warning, ""},
		"merged below":       {with(func(s *nic.State) { s.Merging = []string{"eth1"} }), Served{Queues: all, Mode: bpf.Generic}, "gro", Cannot, "ethtool -K eth1 gro off"},
		"merged below later": {with(func(s *nic.State) { s.Merging = []string{"eth1"} }), Served{Queues: all, Mode: bpf.Native}, "", Warning, ""},
		"tags off":           {with(func(s *nic.State) { s.Offloads.VLAN, s.VLANs = true, true }), Served{Queues: all}, "vlan", Warning, "rxvlan off"},
		"tags off, no VLANs": {with(func(s *nic.State) { s.Offloads.VLAN = true }), Served{Queues: all}, "", Warning, ""},
		"fewer TX queues":    {with(func(s *nic.State) { s.TX = 1 }), Served{Queues: all, Detours: []int{1}}, "tx-queues", Warning, "2 RX and 1 TX queues: what comes by queue 1"},
		"few CPUs":           {good, Served{Queues: all, Unpinned: all, CPUs: 1}, "cpus", Warning, "the workers of 2 queues (0, 1) have no CPU of their own: there are 2 queues, and 1 CPUs"},
		"busy everywhere":    {good, Served{Queues: all, Busy: 2, CPUs: 2}, "poll-busy", Warning, "poll: busy, with 2 workers on 2 CPUs: health checks"},
		"busy, one CPU free": {good, Served{Queues: all, Busy: 2, CPUs: 3}, "", Warning, ""},
		"all CPUs, adaptive": {good, Served{Queues: all, CPUs: 2}, "", Warning, ""},
	} {
		list := OfInterface(&c.now, &c.s)
		if c.code != "" && !slices.ContainsFunc(events.Kinds, func(m events.Meaning) bool { return m.Kind == events.Kind(c.code) }) {
			t.Errorf("%s: %s is no kind of events", name, c.code)
		}
		switch {
		case c.code == "" && len(list) > 0:
			t.Errorf("%s: %+v", name, list)
		case c.code != "" && (len(list) != 1 || list[0].Check != c.code || list[0].Severity != c.loss || !strings.HasPrefix(list[0].Text(), "eth0: ") || !strings.Contains(list[0].Text(), c.text)):
			t.Errorf("%s: %+v, want %s with %q", name, list, c.code, c.text)
		}
	}
}

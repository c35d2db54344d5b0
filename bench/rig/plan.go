package rig

import (
	"cmp"
	"slices"
	"time"

	"github.com/afxlb/afxlb/bench/traffic"
)

// Plan says how much to measure. Zero values are defaults.
type Plan struct {
	Quick    bool // small, for tests
	Full     bool // all combinations
	Rounds   int
	Packets  int
	MaxFlows int // of tables with known flows
}

var (
	modes    = []string{"nat", "dsr", "fullnat"}
	tunnels  = []string{"ipip", "gue", "gre"} // measured with known flows alone: all else is as in dsr
	families = []traffic.Family{traffic.IPv4, traffic.IPv6}
	sizes    = []traffic.Sizes{traffic.Small, traffic.IMIX}
	shares   = []float64{0.01, 0.1, 1}
)

// scale is the sizes of a plan.
type scale struct {
	flows  []int // known, ascending
	fresh  int   // new ones into an empty table
	paused int   // in the table while pauses are looked for
	memory int   // in the table whose memory is measured
	pause  time.Duration
}

// Tasks returns the plan's tasks in the order to do them.
func (p Plan) Tasks() []Task {
	s := scale{[]int{1e3, 100e3, 1e6, 10e6}, 1e6, 1e6, 10e6, 2 * time.Second}
	rounds, packets := 5, 1_000_000
	if p.Quick {
		rounds, packets = 2, 50_000
		s = scale{[]int{1e3, 20e3}, 20e3, 20e3, 20e3, 300 * time.Millisecond}
	}
	p.Rounds, p.Packets = cmp.Or(p.Rounds, rounds), cmp.Or(p.Packets, packets)
	return slices.Concat(p.known(s), p.mixed(s), p.parallel(s), p.fresh(s), p.pauses(s), p.memory(s))
}

// known takes the largest table for one kind only, unless everything is to be done: to
// set it up takes a minute. Tunnels are measured beside the others with tables of one size.
func (p Plan) known(s scale) (all []Task) {
	add := func(mode string, f traffic.Family, n int) {
		all = append(all, Task{Kind: Known, Config: Config{mode, f, n, 1, p.MaxFlows}, Sizes: sizes, New: []float64{0}, Packets: p.Packets, Rounds: p.Rounds})
	}
	each(func(mode string, f traffic.Family) {
		for _, n := range s.flows {
			if p.Full || p.Quick || first(mode, f) || n < 10e6 {
				add(mode, f, n)
			}
		}
	})
	for _, mode := range tunnels {
		for _, f := range families {
			add(mode, f, s.flows[1])
		}
	}
	return all
}

// mixed is apart from known, because new flows leave traces in tables and caches.
func (p Plan) mixed(s scale) (all []Task) {
	each(func(mode string, f traffic.Family) {
		for _, n := range s.flows {
			t := Task{Kind: Mixed, Config: Config{mode, f, n, 1, p.MaxFlows}, Sizes: sizes, New: shares, Packets: p.Packets, Rounds: p.Rounds}
			if !p.Full {
				t.Sizes = sizes[:1]
			}
			if p.Full || first(mode, f) && n < 10e6 {
				all = append(all, t)
			}
		}
	})
	return all
}

func (p Plan) parallel(s scale) (all []Task) {
	each(func(mode string, f traffic.Family) {
		for _, n := range s.flows {
			if p.Full || first(mode, f) && n < 10e6 {
				all = append(all, Task{Kind: Parallel, Config: Config{mode, f, n, 2, p.MaxFlows}, Sizes: sizes[:1], Packets: p.Packets, Rounds: p.Rounds})
			}
		}
	})
	return all
}

// fresh has a new process in each round, since its table must be empty.
func (p Plan) fresh(s scale) (all []Task) {
	for range p.Rounds {
		each(func(mode string, f traffic.Family) {
			all = append(all, Task{Kind: Fresh, Config: Config{mode, f, 0, 1, 0}, Packets: s.fresh, Rounds: 1})
		})
	}
	return all
}

func (p Plan) pauses(s scale) (all []Task) {
	each(func(mode string, f traffic.Family) {
		if p.Full || first(mode, f) {
			all = append(all, Task{Kind: Pauses, Config: Config{mode, f, s.paused, 1, p.MaxFlows}, Packets: p.Packets, Rounds: p.Rounds, Pause: s.pause})
		}
	})
	return all
}

// memory has one round: it does not vary.
func (p Plan) memory(s scale) (all []Task) {
	each(func(mode string, f traffic.Family) {
		if p.Full || mode == modes[0] {
			all = append(all, Task{Kind: Memory, Config: Config{mode, f, s.memory, 1, 0}, Rounds: 1})
		}
	})
	return all
}

func each(do func(mode string, f traffic.Family)) {
	for _, mode := range modes {
		for _, f := range families {
			do(mode, f)
		}
	}
}

func first(mode string, f traffic.Family) bool { return mode == modes[0] && f == families[0] }

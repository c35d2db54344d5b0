package conntrack

import (
	"testing"

	"pgregory.net/rapid"
)

// A record may be used again when all workers that were online at its removal have
// announced a boundary, or gone offline, since: not before, and at once then. Workers may
// come at any time.
func TestGrace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		g := newGrace(workers)
		online := make([]bool, workers)
		type removal struct {
			tag     uint64
			waiting map[int]bool // workers that may hold a reference
		}
		var removals []removal
		let := func(w int) {
			for _, r := range removals {
				delete(r.waiting, w)
			}
		}
		worker := rapid.Custom(func(rt *rapid.T) int { return rapid.IntRange(0, workers-1).Draw(rt, "of these") })
		rt.Repeat(map[string]func(*rapid.T){
			"admit": func(rt *rapid.T) {
				n := rapid.IntRange(1, 6).Draw(rt, "workers")
				g.Admit(n)
				for workers < n { // nobody goes
					workers, online = workers+1, append(online, false)
				}
			},
			"boundary": func(rt *rapid.T) {
				w := worker.Draw(rt, "worker")
				g.Quiescent(w)
				online[w] = true
				let(w)
			},
			"sleep": func(rt *rapid.T) {
				w := worker.Draw(rt, "worker")
				g.Offline(w)
				online[w] = false
				let(w)
			},
			"remove": func(*rapid.T) {
				r := removal{g.tag(), map[int]bool{}}
				for w, on := range online {
					if on {
						r.waiting[w] = true
					}
				}
				removals = append(removals, r)
			},
			"reclaim": func(rt *rapid.T) { // a step of its own: it moves the epoch
				passed := g.passed()
				for i, r := range removals {
					if over := r.tag <= passed; over != (len(r.waiting) == 0) {
						rt.Fatalf("removal %d: over %v, workers %v still in their batch", i, over, r.waiting)
					}
				}
			},
		})
	})
}

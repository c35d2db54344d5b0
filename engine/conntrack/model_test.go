package conntrack

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// TestAgainstModel drives a table and an obvious model, a map without limits, by
// random steps below the budgets, and compares them after each.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const flows, clients = 40, 3 // more than a chain of the index holds for each
		flowOf := func(n int) *NewFlow {
			f := sharing(n, clients, packet.ProtoTCP)
			f.Paired = n%5 != 0
			return f
		}
		tab := newTable(4*flows, 1)
		type entry struct {
			ref   Ref
			class Class
			seen  uint32
		}
		model := map[int]*entry{}
		now := uint32(1 << 20)
		pick := func(rt *rapid.T) int { return rapid.IntRange(0, flows-1).Draw(rt, "flow") }
		rt.Repeat(map[string]func(*rapid.T){
			"insert": func(rt *rapid.T) {
				n := pick(rt)
				flow := flowOf(n)
				r, out := tab.Insert(flow, now)
				if e, known := model[n]; known {
					if out != Exists || r != e.ref {
						rt.Fatalf("insert of a known flow: %v %d", r, out)
					}
				} else if out != Inserted {
					rt.Fatalf("insert: %d", out)
				} else {
					model[n] = &entry{r, TCPSyn, now}
				}
			},
			"touch": func(rt *rapid.T) {
				if e, known := model[pick(rt)]; known {
					tab.touch(e.ref|Ref(Reply), 100, now)
					e.seen = now
				}
			},
			"reclassify": func(rt *rapid.T) {
				class := rapid.SampledFrom([]Class{TCPSyn, TCPEstablished, TCPOneSided, TCPFinWait, TCPClosing, TCPRefused}).Draw(rt, "class")
				if e, known := model[pick(rt)]; known {
					tab.move(e.ref, class, now)
					e.class = class
				}
			},
			"remove": func(rt *rapid.T) {
				n := pick(rt)
				if e, known := model[n]; known {
					tab.Remove(e.ref)
					delete(model, n)
				}
			},
			"time": func(rt *rapid.T) {
				now += rapid.Uint32Range(0, 4000).Draw(rt, "ms")
				tab.Expire(now, 1000)
				for n, e := range model {
					timeout := tab.timeouts[e.class].Load()
					_, there := find(tab, *flowOf(n).Key)
					if !there && now-e.seen <= timeout {
						rt.Fatalf("flow %d went after %d of %d ms", n, now-e.seen, timeout)
					}
					if !there {
						delete(model, n)
					}
				}
			},
			"timeouts": func(rt *rapid.T) {
				timeouts := DefaultTimeouts()
				for c := range timeouts {
					timeouts[c] = time.Duration(rapid.Uint32Range(0, 20_000).Draw(rt, "timeout")) * time.Millisecond
				}
				tab.SetTimeouts(timeouts)
			},
			"quiescent": func(*rapid.T) { tab.Grace.Quiescent(0) },
			"": func(rt *rapid.T) {
				tab.check(t)
				live, stands := 0, 0
				for n := range flows {
					flow := flowOf(n)
					e, known := model[n]
					req, okReq := find(tab, *flow.Key)
					rep, okRep := find(tab, flow.replyKey())
					if okReq != known || okRep != (known && flow.Paired) {
						rt.Fatalf("flow %d: known %v, request %v, reply %v", n, known, okReq, okRep)
					}
					if !known {
						continue
					}
					if req != e.ref || okRep && rep != e.ref|Ref(Reply) || tab.Flow(req).Class() != e.class {
						rt.Fatalf("flow %d: %v %v %v, want %+v", n, req, rep, tab.Flow(req).Class(), *e)
					}
					if e.class.live() {
						live++
					}
					if e.class >= TCPEstablished && e.class < TCPClosing {
						stands++
					}
				}
				seen := 0
				tab.Range(now, func(Info) bool { seen++; return true })
				s := tab.Stats()
				if seen != len(model) || s.Total() != len(model) || s.Inserted-s.Removed != uint64(len(model)) {
					rt.Fatalf("listed %d, counted %d, inserted-removed %d, want %d", seen, s.Total(), s.Inserted-s.Removed, len(model))
				}
				sum, standing := int64(0), int64(0)
				for id := range uint32(7) {
					sum, standing = sum+tab.loads.Live(id), standing+tab.loads.Established(id)
				}
				if sum != int64(live) || standing != int64(stands) {
					rt.Fatalf("live connections %d, established %d, want %d and %d", sum, standing, live, stands)
				}
			},
		})
	})
}

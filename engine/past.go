package engine

import (
	"slices"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/xsk"
)

// past is what the kernel had counted of a port by sockets and programs that are gone: else an
// interface that is served anew, which happens as a rule when something is lost there, would
// take its losses along, and counters would go backwards.
type past struct {
	steering bpf.Counters
	sockets  xsk.Statistics
}

// part adds to the past what l had and next has not. There need not be one of the two. The
// lock is held, so that nothing counts twice or not at all.
func (e *Engine) part(l, next *lease) {
	if l == nil {
		return
	}
	for i, p := range l.ports {
		was := &e.past[i]
		if next == nil && len(l.programs) > 0 {
			c, _ := l.programs[i].Counters() // it is not closed yet
			was.steering.Add(&c)
		}
		var kept []*xsk.Socket
		if next != nil && next.ports[i] != nil {
			kept = next.ports[i].sockets
		}
		if p == nil {
			continue
		}
		for _, s := range p.sockets {
			if s != nil && !slices.Contains(kept, s) {
				k, _ := s.Statistics()
				was.sockets.Add(&k)
			}
		}
	}
}

package fragment

import (
	"slices"

	"github.com/afxlb/afxlb/internal/packet"
)

// maxRuns is how many separate parts of a datagram may have gone by. Of the 45 fragments
// that Ethernet's MTU makes of the largest one, in any order, there are hardly ever more.
const maxRuns = 16

// runs are the parts of a datagram that have gone by: in ascending order, with something
// missing between any two.
type runs struct {
	list [maxRuns]run
	n    int
	end  uint16 // of the datagram; 0: not known
}

type run struct{ from, to uint16 }

// add takes a part into account, if there is nothing against it. Like Linux
// (inet_frag_queue_insert of net/ipv4/inet_fragment.c) it tells a copy of what was there
// from what overlaps it.
func (r *runs) add(p packet.Place) Outcome {
	known := r.end != 0
	if known && (p.To > r.end || p.Last && p.To != r.end) || p.Last && r.n > 0 && r.list[r.n-1].to > p.To {
		return Overlaps // there can be one end only
	}
	i := 0
	for i < r.n && r.list[i].to < p.From {
		i++
	}
	// list[i:j] are those that meet p.
	sum, j := run{p.From, p.To}, i
	for ; j < r.n && r.list[j].from <= p.To; j++ {
		switch at := r.list[j]; {
		case at.from <= p.From && p.To <= at.to:
			return Copy
		case at.to == p.From:
			sum.from = at.from
		case at.from == p.To:
			sum.to = at.to
		default:
			return Overlaps
		}
	}
	if i == j && r.n == maxRuns {
		return Overflows
	}
	if p.Last {
		r.end = p.To
	}
	r.n = len(slices.Replace(r.list[:r.n], i, j, sum)) // in place: there is room
	return Goes
}

// remove is the reverse of add: the part is yet to come. The end stays known.
func (r *runs) remove(p packet.Place) {
	for i := range r.n {
		at := r.list[i]
		if p.From < at.from || at.to < p.To {
			continue
		}
		left := make([]run, 0, 2)
		if at.from < p.From {
			left = append(left, run{at.from, p.From})
		}
		if p.To < at.to {
			left = append(left, run{p.To, at.to})
		}
		if r.n-1+len(left) <= maxRuns {
			r.n = len(slices.Replace(r.list[:r.n], i, i+1, left...))
		}
		return
	}
}

// complete reports whether nothing is missing.
func (r *runs) complete() bool {
	return r.n == 1 && r.list[0] == run{0, r.end}
}

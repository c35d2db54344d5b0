package metrics

import (
	"iter"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// What a scrape is made of is made many at a time.
func TestScrapeMakesManyAtATime(t *testing.T) {
	took := func(w world) float64 {
		src := still{w, w.Services(), w.backendList()}
		return testing.AllocsPerRun(5, func() { newScrape().gather(src) })
	}
	few, many := took(world{10, 2}), took(world{10, 500})
	if many > few+5000/10 {
		t.Errorf("with 20 backends %v allocations, with 5,000 it is %v", few, many)
	}
}

// What was given out stays where it is.
func TestNext(t *testing.T) {
	var list []int
	var all []*int
	for i := range 5000 {
		n := next(&list)
		*n = i
		all = append(all, n)
	}
	for i, n := range all {
		if *n != i {
			t.Fatalf("number %d is %d", i, *n)
		}
	}
}

// still is a world that has its lists ready.
type still struct {
	world
	services []api.Service
	backends []api.Backend
}

func (s still) Services() []api.Service        { return s.services }
func (s still) Figures() iter.Seq[api.Backend] { return slices.Values(s.backends) }

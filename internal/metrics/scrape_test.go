package metrics

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"

	"github.com/afxlb/afxlb/internal/api"
)

// lines are what s has gathered, as text, sorted.
func lines(t *testing.T, s *scrape) []string {
	t.Helper()
	var b strings.Builder
	for _, f := range s.list() {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	list := strings.Split(b.String(), "\n")
	slices.Sort(list)
	return list
}

// Of one scrape nothing is left in the next, whichever of them had more to say.
func TestScrapeAgain(t *testing.T) {
	again := newScrape()
	for _, w := range []world{{3, 2}, {20, 10}, {1, 1}, {0, 0}, {2, 30}} {
		fresh := newScrape()
		fresh.gather(w)
		again.gather(w)
		if d := cmp.Diff(lines(t, fresh), lines(t, again)); d != "" {
			t.Errorf("%+v (- fresh + again):\n%s", w, d)
		}
	}
}

// What a scrape takes does not grow with the backends, but for a map of what states they
// are in.
func TestScrapeMakesNothingOfEachBackend(t *testing.T) {
	took := func(w world) float64 {
		s, src := newScrape(), still{w, w.Services(), w.backendList()}
		for range 5 {
			s.gather(src) // until there is room
		}
		return testing.AllocsPerRun(10, func() { s.gather(src) })
	}
	few, many := took(world{10, 2}), took(world{10, 500})
	if many > few+10 {
		t.Errorf("with 20 backends %v allocations, with 5,000 it is %v", few, many)
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

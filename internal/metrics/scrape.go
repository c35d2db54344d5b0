package metrics

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// scrape is what one scrape has gathered. It does without the library's own Collector, as with
// 20,000 backends that takes ten times as long, and memory. What it is made of is made many at a
// time: to make 180,000 metrics one by one, and to go through memory from one to the other,
// takes longer than to write them.
type scrape struct {
	families []gathered // by number
	words    []string   // values of labels
	names    []dto.LabelPair
	pairs    []*dto.LabelPair
}

// gathered is a family, and what its metrics are made of: whoever goes through these finds the
// next one beside the last.
type gathered struct {
	dto.MetricFamily
	metrics  []dto.Metric
	values   []float64
	counters []dto.Counter
	gauges   []dto.Gauge
}

// labels are those of a metric, sorted by name. Several may have the same.
type labels []*dto.LabelPair

func newScrape() *scrape {
	s := &scrape{families: make([]gathered, len(families))}
	for i, f := range families {
		g := &s.families[i]
		g.Name, g.Help, g.Type = &f.Name, &f.Help, types[f.Kind]
	}
	return s
}

// list returns all families that there is something of, by name.
func (s *scrape) list() (list []*dto.MetricFamily) {
	for i := range s.families {
		if f := &s.families[i].MetricFamily; len(f.Metric) > 0 {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return list
}

// next returns the next of a list. Those before stay where they are, as others point to them:
// where there is no room the list begins anew.
func next[T any](list *[]T) *T {
	const most = 1024
	if n := cap(*list); len(*list) == n {
		*list = make([]T, 0, min(max(8, 2*n), most))
	}
	*list = (*list)[:len(*list)+1]
	return &(*list)[len(*list)-1]
}

// add returns a new metric of f, of which everything is yet to be said.
func (s *scrape) add(f *Family) *dto.Metric {
	g := &s.families[f.number]
	m := next(&g.metrics)
	g.Metric = append(g.Metric, m)
	return m
}

// pair returns a label.
func (s *scrape) pair(name *string, value string) *dto.LabelPair {
	p, word := next(&s.names), next(&s.words)
	*word = value
	p.Name, p.Value = name, word
	return p
}

// join returns labels that are there already as those of one metric.
func (s *scrape) join(list ...*dto.LabelPair) labels {
	from := len(s.pairs)
	s.pairs = append(s.pairs, list...)
	return s.pairs[from:len(s.pairs):len(s.pairs)]
}

// label returns the labels of one metric of f; values are in the order of its labels.
func (s *scrape) label(f *Family, values ...string) labels {
	from := len(s.pairs)
	for i := range values {
		s.pairs = append(s.pairs, s.pair(&f.Labels[i], values[i]))
	}
	return s.pairs[from:len(s.pairs):len(s.pairs)]
}

// value adds a metric whose labels may be shared by several.
func (s *scrape) value(f *Family, value float64, of labels) {
	g, m := &s.families[f.number], s.add(f)
	v := next(&g.values)
	*v, m.Label = value, of
	if f.Kind == Counter {
		m.Counter = next(&g.counters)
		m.Counter.Value = v
	} else {
		m.Gauge = next(&g.gauges)
		m.Gauge.Value = v
	}
}

func (s *scrape) put(f *Family, value float64, labels ...string) {
	s.value(f, value, s.label(f, labels...))
}

func (s *scrape) count(f *Family, n uint64, labels ...string) { s.put(f, float64(n), labels...) }

func (s *scrape) is(f *Family, yes bool, labels ...string) { s.put(f, number(yes), labels...) }

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

package metrics

import (
	"bufio"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/afxlb/afxlb/internal/health"
)

// Metrics is what is offered of one balancer.
type Metrics struct {
	source   Source
	registry *prometheus.Registry // of what the library counts itself
	probes   *prometheus.HistogramVec
	handler  http.Handler
}

// New returns the metrics of a balancer that src tells of.
func New(src Source) *Metrics {
	m := &Metrics{source: src, registry: prometheus.NewRegistry(), probes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: probes.Name, Help: probes.Help,
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, probes.Labels)}
	m.registry.MustRegister(m.probes, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	m.handler = promhttp.HandlerFor(m, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: inFlight,
		// With 20,000 backends to compress takes as long as all else, of a CPU that may be a
		// worker's; the 13 MB that are sent instead, a scrape, are nothing to a network.
		DisableCompression: true,
	})
	return m
}

// Gather returns all families; it is a [prometheus.Gatherer].
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	s := newScrape()
	s.gather(m.source)
	others, err := m.registry.Gather()
	return append(s.list(), others...), err
}

// Probed takes the answer to a health check. Any number of goroutines may call it.
func (m *Metrics) Probed(r *health.Result) {
	result := "ok"
	switch {
	case r.Local:
		result = "local" // the balancer's own trouble
	case r.Err != nil:
		result = "failed"
	}
	m.probes.WithLabelValues(r.Target.Type.String(), result).Observe(r.Took.Seconds())
}

// inFlight bounds how many scrapes go on at a time, and with it their memory.
const inFlight = 4

// ServeHTTP answers a scrape, as text or as OpenMetrics, whichever is asked for.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := buffered{w, bufio.NewWriterSize(w, chunkSize)}
	m.handler.ServeHTTP(b, r)
	_ = b.Flush() // to a client that has gone there is nothing to say
}

// chunkSize is what is gathered of an answer before it is sent, in bytes.
const chunkSize = 64 << 10

// buffered is an answer that is sent in large chunks. Left to themselves the library and
// net/http send a few lines at a time, each of which wakes the client.
type buffered struct {
	http.ResponseWriter
	*bufio.Writer
}

func (b buffered) Write(p []byte) (int, error) { return b.Writer.Write(p) }

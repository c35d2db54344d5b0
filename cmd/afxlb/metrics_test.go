package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/afxlb/afxlb/internal/api"
)

// scrape returns the metrics that the balancer offers, the values of each summed over those
// of its labels that have the values asked for.
func (w *world) scrape() (sum func(name string, labels ...string) float64) {
	w.t.Helper()
	r, err := w.lab.Balancer.HTTPClient(patience, false).Get("http://127.0.0.1:9190/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		w.t.Fatalf("%s, %v", r.Status, err)
	}
	return func(name string, labels ...string) (sum float64) {
		w.t.Helper()
		f := families[name]
		if f == nil {
			w.t.Fatalf("no metric %s", name)
		}
	metrics:
		for _, m := range f.Metric {
			have := map[string]string{}
			for _, l := range m.Label {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue metrics
				}
			}
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		return sum
	}
}

// What is counted is what was sent.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	w.mustAnswer(30, natVIP4)
	s := p.settled()
	have := w.scrape()
	for _, c := range []struct {
		name, label, value string
		want               uint64
	}{
		{"afxlb_state", "state", "serving", 1},
		{"afxlb_service_up", "service", "web", 1},
		{"afxlb_service_backends", "state", "up", 3},
		{"afxlb_backend_up", "service", "web", 3},
		{"afxlb_backend_flows_total", "service", "web", 30},
		{"afxlb_backend_packets_total", "direction", "in", sumOf(p, func(b *api.Backend) uint64 { return b.PacketsIn })},
		{"afxlb_backend_bytes_total", "direction", "out", sumOf(p, func(b *api.Backend) uint64 { return b.BytesOut })},
		{"afxlb_interface_up", "interface", "eth0", 1},
		{"afxlb_config_generation", "", "", s.Generation},
		{"afxlb_flow_table_inserted_total", "", "", 30},
	} {
		var labels []string
		if c.label != "" {
			labels = []string{c.label, c.value}
		}
		if got := have(c.name, labels...); got != float64(c.want) {
			t.Errorf("%s of %v is %v, want %d", c.name, labels, got, c.want)
		}
	}
	if got, sum := have("afxlb_received_packets_total"), have("afxlb_packets_total"); got == 0 || got != sum {
		t.Errorf("%v packets were received, and %v had something become of them", got, sum)
	}
	for _, name := range []string{"afxlb_processing_seconds", "afxlb_batches_total"} {
		if have(name) == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	if have("afxlb_probe_duration_seconds", "check", "tcp", "result", "ok") < 3 {
		t.Error("no probe of each backend was timed")
	}
	p.stop()
}

func sumOf(p *process, of func(*api.Backend) uint64) (sum uint64) {
	p.t.Helper()
	list, err := p.api.Backends(p.t.Context(), "web")
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range list {
		sum += of(&list[i])
	}
	return sum
}

// An address that somebody else has keeps nothing from being served, is told, and is taken
// when it is free.
func TestMetricsAddressTaken(t *testing.T) {
	w := newWorld(t)
	other, err := w.lab.Balancer.Listen("tcp", "127.0.0.1:9190")
	if err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	s := p.await("tell that metrics are not served", func(s api.Status) bool { return warned(s, "listen") != "" })
	if text := warned(s, "listen"); s.State != "serving" || !strings.Contains(text, "127.0.0.1:9190") || !strings.Contains(text, "in use") {
		t.Errorf("%s, %q", s.State, text)
	}
	p.awaitLines(1, "page and metrics are not served")
	w.mustAnswer(3, natVIP4)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	p.await("serve metrics", func(s api.Status) bool { return warned(s, "listen") == "" })
	w.scrape()
	p.stop()
}

// What is there is only to be read; and who is slow keeps nobody else out.
func TestMetricsAreOnlyRead(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	client := w.lab.Balancer.HTTPClient(patience, false)
	for path, want := range map[string]int{"/metrics": http.StatusMethodNotAllowed, "/v1/reload": http.StatusNotFound, "/v1/status": http.StatusMethodNotAllowed, "/": http.StatusMethodNotAllowed} {
		r, err := client.Post("http://127.0.0.1:9190"+path, "text/plain", io.LimitReader(strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, r.Status, want)
		}
	}
	for range 40 { // that say nothing
		c, err := w.lab.Balancer.Dial(t.Context(), "tcp", "127.0.0.1:9190")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("GET /met")); err != nil {
			t.Fatal(err)
		}
	}
	w.scrape()
	p.stop()
}

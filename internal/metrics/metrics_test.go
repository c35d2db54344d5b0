package metrics

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/health"
)

// world is a Source of so many services with so many backends each, and some of all there is.
type world struct{ services, backends int }

func (w world) Status() api.Status {
	return api.Status{
		Version: "1.2.3", Started: time.Unix(1_700_000_000, 0), State: api.StateDegraded, Generation: 7, Reload: "no such file",
		Overrides: make([]api.Override, 2), NeedsRestart: []string{"queues"}, Warnings: []api.Warning{{Code: "queues"}, {Code: "queues"}, {Code: "mtu"}},
		Flows:     api.FlowTable{ByClass: map[string]int{"tcp-syn": 3, "tcp-established": 4}, MaxFlows: 10, Inserted: 20, Expired: 5, EvictedEmbryonic: 6, EvictedEstablished: 1, Clashes: 2, Clients: 8, MaxClients: 9},
		SnatPorts: []api.SnatPorts{{Service: "s0", Backend: "b0", Taken: 30, Resting: 10, Total: 64512}},
		Ports:     []api.Port{{Name: "eth0", State: api.StateServing, Received: 100, Sent: 90, Copied: 1}, {Name: "eth1", State: api.StateWaiting}},
		Workers: []api.Worker{
			{Queue: 0, Received: 100, Forwarded: 80, Replied: 5, Punted: 5, Dropped: 10, Misses: 20, Batches: 50, Sleeps: 2, Frames: api.Frames{Free: 1, Filled: 2, Held: 3, Transmit: 4, Total: 10}},
			{Queue: 1, Received: 7, Forwarded: 7},
		},
	}
}

func (w world) Services() (list []api.Service) {
	for i := range w.services {
		list = append(list, api.Service{Name: fmt.Sprintf("s%d", i), Backends: api.UpTotal{Up: i % 2, Total: w.backends}, InRotation: i % 2, Fallback: [...]string{"down", "panic"}[i%2],
			Announce: [...]string{"none", "arp"}[i%2], Announced: true, AddressConflict: "02:00:00:00:00:01"})
	}
	return list
}

func (w world) Figures() iter.Seq[api.Backend] { return slices.Values(w.backendList()) }

func (w world) backendList() (list []api.Backend) {
	for i := range w.services {
		for j := range w.backends {
			list = append(list, api.Backend{
				Service: fmt.Sprintf("s%d", i), Name: fmt.Sprintf("b%d", j), Weight: 3, State: [...]string{"up", "down"}[j%2],
				Share: [...]int{40, 100}[j%2], MaxConns: uint32(10 * (1 - j%2)), Standing: 3,
				Live: 4, Flows: 5, PacketsIn: 6, PacketsOut: 7, BytesIn: 800, BytesOut: 900,
			})
		}
	}
	return list
}

func (w world) Counters() []api.Counter {
	list := []api.Counter{
		{Group: "packets", Name: "received", Value: 107},
		{Group: "packets", Name: "no-flow", Value: 10, Loss: true},
		{Group: "steering", Name: "not-ours", Value: 11},
		{Group: "checksums", Name: "completed", Value: 12},
		{Group: "services", Name: "full", Value: 14},
	}
	for name := range kernel {
		list = append(list, api.Counter{Group: "kernel", Name: name, Value: 13})
	}
	return list
}

func (w world) Latency() Latency {
	return Latency{Bounds: []time.Duration{time.Microsecond, 2 * time.Microsecond}, Counts: []uint64{5, 3, 2}, Sum: 30 * time.Microsecond}
}

func scraped(t *testing.T, m *Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func probed() *Metrics {
	m := New(world{2, 2})
	target := health.Target{Type: balancer.HealthHTTP}
	m.Probed(&health.Result{Target: target, Took: 20 * time.Millisecond})
	m.Probed(&health.Result{Target: target, Took: 3 * time.Second, Err: errors.New("timeout")})
	m.Probed(&health.Result{Target: target, Took: time.Millisecond, Err: errors.New("no way"), Local: true})
	return m
}

// A scrape says what the Source said.
func TestScrape(t *testing.T) {
	text := scraped(t, probed(), "text/plain")
	for _, line := range []string{
		`afxlb_build_info{version="1.2.3"} 1`,
		`afxlb_start_time_seconds 1.7e+09`,
		`afxlb_state{state="degraded"} 1`, `afxlb_state{state="serving"} 0`,
		`afxlb_warnings{code="queues"} 2`, `afxlb_warnings{code="mtu"} 1`,
		`afxlb_config_generation 7`, `afxlb_config_last_reload_successful 0`, `afxlb_config_needs_restart 1`, `afxlb_overrides 2`,
		`afxlb_interface_up{interface="eth0"} 1`, `afxlb_interface_up{interface="eth1"} 0`,
		`afxlb_interface_received_packets_total{interface="eth0"} 100`, `afxlb_interface_sent_packets_total{interface="eth0"} 90`,
		`afxlb_received_packets_total{queue="0"} 100`, `afxlb_packets_total{queue="0",verdict="forward"} 80`,
		`afxlb_packets_total{queue="0",verdict="drop"} 10`, `afxlb_packets_total{queue="1",verdict="forward"} 7`,
		`afxlb_frames{queue="0",state="transmit"} 4`,
		`afxlb_drop_packets_total{reason="no-flow"} 10`, `afxlb_steering_packets_total{reason="not-ours"} 11`,
		`afxlb_checksums_completed_total 12`, `afxlb_xsk_rx_ring_full_total 13`,
		`afxlb_flow_table_entries{class="tcp-established"} 4`, `afxlb_flow_table_capacity 10`,
		`afxlb_flow_table_evictions_total{reason="embryonic"} 6`,
		`afxlb_snat_ports_taken{backend="b0",service="s0"} 30`,
		`afxlb_processing_seconds_bucket{le="2e-06"} 8`,
		`afxlb_processing_seconds_count 10`, `afxlb_processing_seconds_sum 3e-05`,
		`afxlb_service_up{service="s0"} 0`, `afxlb_service_up{service="s1"} 1`, `afxlb_service_backends{service="s1",state="down"} 1`,
		`afxlb_backend_up{backend="b0",service="s1"} 1`, `afxlb_backend_up{backend="b1",service="s1"} 0`,
		`afxlb_service_announced{service="s1"} 1`, `afxlb_service_address_conflict{service="s1"} 1`,
		`afxlb_service_fallback{fallback="panic",service="s1"} 1`, `afxlb_service_fallback{fallback="down",service="s1"} 0`,
		`afxlb_full_connections_total 14`, `afxlb_backend_share{backend="b0",service="s1"} 0.4`, `afxlb_backend_share{backend="b1",service="s1"} 1`,
		`afxlb_backend_connections_max{backend="b0",service="s1"} 10`, `afxlb_backend_connections_established{backend="b0",service="s1"} 3`,
		`afxlb_backend_bytes_total{backend="b1",direction="out",service="s0"} 900`,
		`afxlb_backend_bytes_total{backend="b0",direction="in",service="s0"} 800`,
		`afxlb_probe_duration_seconds_bucket{check="http",result="ok",le="0.025"} 1`,
		`afxlb_probe_duration_seconds_count{check="http",result="failed"} 1`,
		`afxlb_probe_duration_seconds_count{check="http",result="local"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if strings.Contains(text, `reason="received"`) {
		t.Error("what was received is a reason for a drop")
	}
}

// Each metric that is documented is in a scrape, and is what it is said to be; and nothing else
// of ours is.
func TestFamiliesAreAll(t *testing.T) {
	text := scraped(t, probed(), "text/plain")
	known := map[string]bool{}
	for f := range Families() {
		known[f.Name] = true
		if want := fmt.Sprintf("# TYPE %s %s\n", f.Name, f.Kind); !strings.Contains(text, want) {
			t.Errorf("no line %q", want)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (afxlb_\S+)`).FindAllStringSubmatch(text, -1) {
		if !known[m[1]] {
			t.Errorf("%s is not documented", m[1])
		}
	}
}

// What Prometheus's own linter has to say: nothing.
func TestNamesAreAsTheyShouldBe(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scraped(t, probed(), "text/plain"))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "afxlb_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	text := scraped(t, probed(), "application/openmetrics-text; version=1.0.0")
	if !strings.HasSuffix(text, "# EOF\n") || !strings.Contains(text, "# TYPE afxlb_backend_flows counter\n") {
		t.Errorf("not OpenMetrics: %.300s", text)
	}
}

// Many scrapes at a time are answered or refused, and each answer is whole.
func TestScrapesAtATime(t *testing.T) {
	m := probed()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
			m.ServeHTTP(w, r)
			if w.Code == 503 {
				return // more than inFlight
			}
			p := expfmt.NewTextParser(model.UTF8Validation)
			if f, err := p.TextToMetricFamilies(w.Body); w.Code != 200 || err != nil || f["afxlb_state"] == nil {
				t.Errorf("status %d, %v", w.Code, err)
			}
		})
	}
	all.Wait()
}

// BenchmarkScrape is one scrape of 1,000 services with 20 backends each.
func BenchmarkScrape(b *testing.B) {
	of := world{1000, 20}
	m := New(still{of, of.Services(), of.backendList()})
	for _, accept := range []string{"text/plain", "application/openmetrics-text; version=1.0.0"} {
		b.Run(accept, func(b *testing.B) {
			b.ReportAllocs()
			var w drain
			for b.Loop() {
				r := httptest.NewRequest("GET", "/metrics", nil)
				r.Header.Set("Accept", accept)
				w = drain{header: http.Header{}}
				m.ServeHTTP(&w, r)
			}
			b.SetBytes(w.bytes)
		})
	}
}

// drain is a client that reads all and keeps nothing.
type drain struct {
	header http.Header
	bytes  int64
}

func (d *drain) Header() http.Header { return d.header }
func (d *drain) WriteHeader(int)     {}

func (d *drain) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return len(p), nil
}

package api

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"
)

// large is a Source with as many backends and flows as a large installation.
type large struct {
	fixed
	backends []Backend
}

func newLarge(n int) *large {
	l := &large{}
	for i := range n {
		l.backends = append(l.backends, Backend{
			Service: fmt.Sprintf("service-%d", i/20), Name: fmt.Sprintf("backend-%d", i), Address: "10.0.12.34", Port: "8080", Weight: 1,
			State: "up", Since: time.Now(), Check: "ok", Checks: []Check{{Type: "tcp", Address: "10.0.12.34:8080", Result: "ok"}}, MAC: "02:00:00:00:00:01",
			Live: int64(i), Flows: 1e6, PacketsIn: 1e9, PacketsOut: 1e9, BytesIn: 1e12, BytesOut: 1e12,
		})
	}
	return l
}

func (l *large) Backends(string) iter.Seq[Backend] { return slices.Values(l.backends) }

func (l *large) Flows(FlowFilter) iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		f := Flow{Protocol: "tcp", Client: "198.51.100.7:40000", VIP: "192.0.2.10:80", Service: "web", Backend: "a", Target: "10.0.0.11:8080", State: "tcp-established"}
		for yield(f) {
			f.PacketsIn++
		}
	}
}

// BenchmarkBackends is what `backends --json` takes at both ends of the socket.
func BenchmarkBackends(b *testing.B) {
	c := serve(b, newLarge(20_000))
	var answer bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		answer.Reset()
		if _, err := c.Raw(&answer).Backends(b.Context(), ""); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(answer.Len()))
}

// BenchmarkFlows is a thousandth of listing a million flows.
func BenchmarkFlows(b *testing.B) {
	c := serve(b, newLarge(0))
	var answer bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		answer.Reset()
		if _, err := c.Raw(&answer).Flows(b.Context(), FlowFilter{Limit: 1000}); err != nil {
			b.Fatal(err)
		}
	}
}

package health

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/testutil"
)

// loopback returns n targets of different addresses, all of which are this machine's.
func loopback(n int, port uint16, spec balancer.HealthSpec) []Target {
	list := make([]Target, n)
	for i := range list {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 127<<24+1+uint32(i))
		list[i] = TargetOf(netip.AddrPortFrom(netip.AddrFrom4(a), port), &spec)
	}
	return list
}

// BenchmarkSet sets the 20,000 targets that are set already, and tells what memory
// they take.
func BenchmarkSet(b *testing.B) {
	const n = 20_000
	set := loopback(n, 80, balancer.HealthSpec{Type: balancer.HealthTCP, Interval: time.Hour, Timeout: time.Minute})
	before := liveMemory()
	p := New(zap.NewNop(), func(Result) {}, WithInFlight(1), WithDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return nil, never(ctx)
	}))
	defer p.Close()
	p.Set(set)
	after := liveMemory()
	for b.Loop() {
		p.Set(set)
	}
	b.ReportMetric(float64(after-before)/n, "B/target")
}

// liveMemory is what is in use of the heap, and of the goroutines' stacks.
func liveMemory() int64 {
	heap := testutil.LiveHeap()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap + int64(m.StackInuse)
}

// BenchmarkProbe probes a server on loopback, whose work is part of it.
func BenchmarkProbe(b *testing.B) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	p := New(zap.NewNop(), nil)
	target := loopback(1, port, balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: time.Second})[0]
	b.ReportAllocs()
	for b.Loop() {
		r, c := p.probe(b.Context(), target)
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		c.hangUp()
	}
}

package control

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
)

// largeSpec has 1,000 services of 20 backends on 40 addresses.
func largeSpec() balancer.Spec {
	var spec balancer.Spec
	checked := balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	for i := range 1000 {
		s := balancer.ServiceSpec{
			Name: fmt.Sprint("s", i), Address: netip.AddrFrom4([4]byte{192, 0, byte(2 + i/250), byte(1 + i%250)}), First: 80, Last: 80,
			Protocol: balancer.TCP, Algorithm: balancer.Maglev, Health: checked,
		}
		for j := range 20 {
			s.Backends = append(s.Backends, balancer.BackendSpec{Name: fmt.Sprint("b", j), Address: largeAddr((i + j) % 40), Port: 8080, Weight: 1})
		}
		spec.Services = append(spec.Services, s)
	}
	return spec
}

func largeAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}) }

// large returns a reconciler of largeSpec whose goroutine is the caller, with everybody
// known to be well.
func large(b *testing.B) *Reconciler {
	w := newWire()
	for i := range 40 {
		a := largeAddr(i)
		w.snapshot.Hops[a] = egress.Hop{OnLink: true, Via: a, Known: true, MAC: [6]byte{2, 0, 0, 0, 0, byte(i)}}
	}
	r := New(Options{Engine: &kernel{}, Loads: balancer.NewLoads(), Spec: largeSpec(), Log: nopLog, Events: events.NewRecorder(nopLog)})
	b.Cleanup(r.prober.Close)
	r.alarm = time.NewTimer(time.Hour)
	r.observed.hops = w
	if err := r.reconcile(); err != nil {
		b.Fatal(err)
	}
	r.answerAll(nil)
	if err := r.reconcile(); err != nil {
		b.Fatal(err)
	}
	return r
}

// answerAll answers every address's probe.
func (r *Reconciler) answerAll(err error) {
	for _, t := range r.observed.targets() {
		r.note(health.Result{Target: t, Start: time.Now(), Err: err})
	}
}

func BenchmarkLarge(b *testing.B) {
	b.Run("nothing new", func(b *testing.B) {
		r := large(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := r.reconcile(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one weight", func(b *testing.B) {
		r := large(b)
		specs := [2]balancer.Spec{largeSpec(), largeSpec()}
		specs[1].Services[500].Backends[3].Weight = 2
		b.ReportAllocs()
		for i := 1; b.Loop(); i++ {
			spec := specs[i%2]
			if _, err := r.adopt(&spec, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("an address dies and returns", func(b *testing.B) {
		r := large(b)
		var target health.Target
		for _, t := range r.observed.targets() {
			if t.Address.Addr() == largeAddr(7) {
				target = t
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range []error{errRefused, nil} {
				for range 3 {
					r.note(health.Result{Target: target, Start: time.Now(), Err: err})
				}
				if err := r.reconcile(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("an answer", func(b *testing.B) {
		r := large(b)
		target := r.observed.targets()[0]
		b.ReportAllocs()
		for b.Loop() {
			r.note(health.Result{Target: target, Start: time.Now()})
		}
	})
}

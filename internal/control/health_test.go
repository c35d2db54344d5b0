package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/health"
)

// world is who answers probes, and how.
type world struct {
	mu   sync.Mutex
	dead map[string]bool // by address; nil: nobody answers at all, ever
}

func (w *world) set(address string, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[address] = dead
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	dead, known := w.dead[netip.MustParseAddrPort(address).Addr().String()]
	mute := w.dead == nil
	w.mu.Unlock()
	switch {
	case mute:
		<-ctx.Done()
		return nil, ctx.Err()
	case dead || !known:
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

// probed starts a controller whose probes go to w and whose clock is the bubble's,
// and rebuilds its table as Run would.
func probed(t *testing.T, w *world, spec balancer.Spec) *Controller {
	t.Helper()
	c, err := New(Options{
		Engine: engine.Config{Interface: "nosuch0", Queues: []int{0}, MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts()},
		Spec:   spec, Log: zap.NewNop(), Health: []health.Option{health.WithDial(w.dial)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	c.probe()
	c.poke()
	loop.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.changed:
				if err := c.rebuild(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(func() { // the bubble can't end before all that goes on in it
		stop()
		loop.Wait()
		c.rest()
	})
	return c
}

func webSpec() balancer.Spec {
	spec := testSpec()
	spec.Services = spec.Services[:1]
	spec.Services[0].Health.Interval = 10 * time.Second
	return spec
}

func expect(t *testing.T, c *Controller, when string, want map[string]string) {
	t.Helper()
	synctest.Wait()
	for name, s := range want {
		if b := state(t, c, "web", name); b.State != s {
			t.Errorf("%s: %s is %s (%s), want %s", when, name, b.State, b.Check, s)
		}
	}
}

func TestBackendDiesAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{dead: map[string]bool{"10.0.0.11": false, "10.0.0.12": false}}
		c := probed(t, w, webSpec())
		time.Sleep(time.Second)
		expect(t, c, "after the first probe", map[string]string{"a": "up", "b": "up"})
		died := time.Now()
		w.set("10.0.0.11", true)
		time.Sleep(17 * time.Second) // 18 s at least are three probes and their jitter
		expect(t, c, "after two bad answers at most", map[string]string{"a": "up", "b": "up"})
		time.Sleep(17 * time.Second) // 33 s at most
		expect(t, c, "after three bad answers", map[string]string{"a": "down", "b": "up"})
		if since := state(t, c, "web", "a").Since; !since.After(died) || since.After(time.Now()) {
			t.Errorf("down since %v, died at %v", since, died)
		}
		w.set("10.0.0.11", false)
		time.Sleep(23 * time.Second)
		expect(t, c, "after two good answers", map[string]string{"a": "up", "b": "up"})
	})
}

// When nobody answers at all it is not known who is dead: after the warm-up all are
// trusted, without anything else to wake the rebuild.
func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Health.Timeout = 9 * time.Second
		c := probed(t, &world{}, spec)
		time.Sleep(balancer.WarmUp - time.Second)
		expect(t, c, "in the warm-up", map[string]string{"a": "warming", "b": "warming"})
		time.Sleep(time.Second)
		expect(t, c, "after it", map[string]string{"a": "up", "b": "up"})
	})
}

// An answer that was on its way while a reload gave the name to another backend says
// nothing about that.
func TestLateAnswerIsAboutTheOldBackend(t *testing.T) {
	c := newController(t, testSpec())
	c.answer("web", "b", nil)
	spec := testSpec()
	spec.Services[0].Backends[1].Address = netip.MustParseAddr("10.0.0.13")
	if err := c.Reload(spec); err != nil {
		t.Fatal(err)
	}
	ref := balancer.BackendRef{Service: "web", Backend: "b"}
	c.observe(health.Result{Ref: ref, OK: true, Took: time.Minute})
	c.observe(health.Result{Ref: balancer.BackendRef{Service: "web", Backend: "nobody"}, OK: true})
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	if b := state(t, c, "web", "b"); b.State != "warming" || b.Check != "no answer yet" {
		t.Errorf("the new b is %s, %q by an answer of the old one", b.State, b.Check)
	}
	c.observe(health.Result{Ref: ref, OK: true})
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	if b := state(t, c, "web", "b"); b.State != "up" {
		t.Errorf("after its own answer the new b is %s", b.State)
	}
}

// The prober's targets are those of the last spec, however many hands are at it.
func TestConcurrentReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{dead: map[string]bool{}}
		c := probed(t, w, webSpec())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				spec := webSpec()
				spec.Services[0].Backends[0].Address = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
				if i%3 == 0 {
					spec.Services[0].Mode = balancer.GUE
				}
				if err := c.Reload(spec); (err != nil) != (i%3 == 0) {
					t.Errorf("reload %d: %v", i, err)
				}
			})
			all.Go(c.probe)
		}
		all.Wait()
		c.mu.Lock()
		last := c.spec.Services[0].Backends[0].Address
		c.mu.Unlock()
		w.set(last.String(), false) // alone answers
		time.Sleep(23 * time.Second)
		expect(t, c, "the last spec's backend", map[string]string{"a": "up"})
		if a := state(t, c, "web", "a"); a.Address != last.String() {
			t.Errorf("a is at %s, want %s", a.Address, last)
		}
	})
}

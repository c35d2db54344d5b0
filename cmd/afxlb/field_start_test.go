package main

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// knocker opens connections one after the other, and notes how many were refused.
type knocker struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	opened chan struct{}

	mu             sync.Mutex
	taken, refused int
}

// knock begins to open connections to a service, on which nothing is sent.
func (w *world) knock(vip netip.Addr, port uint16) *knocker {
	ctx, stop := context.WithCancel(w.t.Context())
	k := &knocker{stop: stop, opened: make(chan struct{}, 1)}
	for range 4 {
		k.done.Go(func() {
			for ctx.Err() == nil {
				c, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(vip, port).String())
				k.mu.Lock()
				switch {
				case err == nil:
					k.taken++
				case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
					k.refused++
				}
				k.mu.Unlock()
				if err == nil {
					c.Close()
					select {
					case k.opened <- struct{}{}:
					default:
					}
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	w.t.Cleanup(k.end)
	return k
}

func (k *knocker) end() {
	k.stop()
	k.done.Wait()
}

// mustTake waits for a connection that is taken, and fails if any was refused.
func (k *knocker) mustTake(w *world, when string) {
	w.t.Helper()
	select { // what was opened before
	case <-k.opened:
	default:
	}
	select {
	case <-k.opened:
	case <-time.After(patience):
		w.t.Fatalf("%s: no connection is taken", when)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused > 0 {
		w.t.Errorf("%s: %d connections were refused, %d taken", when, k.refused, k.taken)
	}
}

// C08: while nothing is known of the backends, new connections wait and nobody is
// refused; the streams of before a restart find their backends again.
func TestFieldRestartWithSlowChecks(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	for name, health := range map[string]string{"slow": slowCheck("5s"), "tcp": "health: {type: tcp},", "none": "health: {type: none},"} {
		delay := time.Duration(0)
		if name == "slow" {
			delay = 900 * time.Millisecond
		}
		for _, s := range w.web {
			s.SetDelay(delay)
		}
		config := w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "algorithm: maglev, "+health))
		k := w.knock(natVIP4, streamPort)
		p := w.serve(config)
		k.mustTake(w, name+": after the start")
		k.end()
		s := w.openStreams(20, natVIP4)
		for range 3 {
			p.stop()
			p = w.start(nil, "--config", config)
			s.mustLive(name + ": after a restart")
		}
		p.await("have all", func(s api.Status) bool { return s.Backends.Up == 3 })
		s.mustLive(name + ": when all is known")
		s.close()
		p.stop()
	}
}

// C08, second part: without a carrier at the start nothing is judged, and nobody
// refused when it comes.
func TestFieldStartWithoutALink(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	b := w.lab.Balancer
	if err := b.SetLink(lab.Interface, false); err != nil {
		t.Fatal(err)
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", quickHealth)))
	p.await("tell of the link", func(s api.Status) bool {
		return s.State == "degraded" && s.Reason == "the interface is down (ip link set eth0 up)" && warned(s, "link") != ""
	})
	k := w.knock(natVIP4, streamPort)
	p.stays(2*time.Second, "with no backend judged", func(api.Status) bool { return p.lines("backend is (up|down)") == 0 })
	if err := b.SetLink(lab.Interface, true); err != nil {
		t.Fatal(err)
	}
	p.await("have all", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	k.mustTake(w, "after the link came")
	p.stop()
}

// C15: the balancer's own link is down for longer than the checks take to give up.
// When it returns the streams go on, nobody was refused, and nobody waits for a check.
func TestFieldOwnLinkFails(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	// A first check after the link's return would be due after a minute.
	const health = "health: {type: tcp, interval: 1m, timeout: 900ms, rise: 1, fall: 1},"
	for _, policy := range []string{"reassign", "reset"} {
		p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "on-down: "+policy+", "+health)))
		s := w.openStreams(10, natVIP4)
		if err := w.lab.Balancer.SetLink(lab.Interface, false); err != nil {
			t.Fatal(err)
		}
		p.await("see the link down", func(s api.Status) bool { return s.Backends.Up == 0 })
		k := w.knock(natVIP4, streamPort)
		p.stays(time.Second, "out of reach", func(s api.Status) bool { return s.Backends.Up == 0 })
		if err := w.lab.Balancer.SetLink(lab.Interface, true); err != nil {
			t.Fatal(err)
		}
		p.await("have all back", func(s api.Status) bool { return s.Backends.Up == 3 })
		k.mustTake(w, policy+": after the link's return")
		k.end()
		s.mustLive(policy + ": after the link's return")
		s.close()
		p.stop()
	}
}

// C15, second part: the way to all backends fails beyond the balancer's own port. All
// are down then, as far as anybody can know; but their streams stay until each is
// known by itself again.
func TestFieldSwitchFails(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	const health = "health: {type: http, port: 8080, interval: 1s, fast-interval: 500ms, timeout: 1s, rise: 2, fall: 2},"
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", health)))
	s := w.openStreams(10, natVIP4)
	if err := w.lab.SetForwarding(w.lab.Balancer, false); err != nil {
		t.Fatal(err)
	}
	// They come back one after the other, and none of them late. Before, a slow answer that is
	// lost on the way would seem to be one's own failure, beside a quick one that is not.
	for i, s := range w.web {
		s.SetDelay(time.Duration(i) * 150 * time.Millisecond)
	}
	p.await("lose all", func(s api.Status) bool { return s.Backends.Up == 0 })
	p.stays(time.Second, "without any", func(s api.Status) bool { return s.Backends.Up == 0 })
	if err := w.lab.SetForwarding(w.lab.Balancer, true); err != nil {
		t.Fatal(err)
	}
	p.await("have all back", func(s api.Status) bool { return s.Backends.Up == 3 })
	s.mustLive("after the way's return")
	p.stop()
}

// C08, third part: a backend is dead when the balancer is started anew; the streams of
// the others find them again.
func TestFieldRestartBesideADeadBackend(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	w.web[1].Kill()
	const health = "health: {type: http, port: 8080, interval: 1s, timeout: 500ms, rise: 1, fall: 3},"
	config := w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "algorithm: maglev, "+health))
	p := w.start(nil, "--config", config)
	p.await("know all", func(s api.Status) bool { return s.Backends.Up == 2 && p.lines("backend is down") == 1 })
	s := w.openStreams(24, natVIP4)
	for range 3 {
		p.stop()
		p = w.start(nil, "--config", config)
		s.mustLive("after a restart beside a dead backend")
	}
	p.stop()
}

// C08, fourth part: the balancer is away for a while, so that servers have as much to say
// again as their clients have. Who speaks first when it is back makes no difference.
func TestFieldRestartTakesItsTime(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	config := w.writeConfig("afxlb.yaml", streamService("web4", natVIP4, "nat", "algorithm: maglev, "+quickHealth),
		streamService("web6", natVIP6, "nat", "algorithm: maglev, "+quickHealth))
	p := w.serve(config)
	s4, s6 := w.openStreams(20, natVIP4), w.openStreams(20, natVIP6)
	for range 3 {
		p.stop()
		time.Sleep(300 * time.Millisecond) // which is the case itself
		p = w.serve(config)
		s4.mustLive("after a restart")
		s6.mustLive("after a restart")
	}
	p.stop()
}

// C15, third part: the cable is out for a moment, with checks that are quicker than the
// kernel asks for its neighbours again.
func TestFieldCableIsOutForAMoment(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	const health = "health: {type: tcp, interval: 200ms, timeout: 200ms, rise: 2, fall: 4},"
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", health)))
	s := w.openStreams(10, natVIP4)
	k := w.knock(natVIP4, streamPort)
	for range 3 {
		if err := w.lab.SetPort(w.lab.Balancer, false); err != nil {
			t.Fatal(err)
		}
		p.await("see the link down", func(s api.Status) bool { return s.Backends.Up == 0 })
		p.stays(700*time.Millisecond, "without a link", func(s api.Status) bool { return s.Backends.Up == 0 })
		if err := w.lab.SetPort(w.lab.Balancer, true); err != nil {
			t.Fatal(err)
		}
		p.await("have all back", func(s api.Status) bool { return s.Backends.Up == 3 })
		p.stays(2*time.Second, "up", func(s api.Status) bool { return s.Backends.Up == 3 })
		k.mustTake(w, "after the link's return")
		s.mustLive("after the link's return")
	}
	if n := p.lines("backend is down"); n != 0 {
		t.Errorf("%d times a backend was called down", n)
	}
	p.stop()
}

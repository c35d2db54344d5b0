package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
)

// directSpec is webSpec by dsr.
func directSpec() balancer.Spec {
	spec := webSpec()
	s := &spec.Services[0]
	s.Mode = balancer.DSR
	for j := range s.Backends {
		s.Backends[j].Port = 0
	}
	return spec
}

// holders are the answers to half-open probes.
type holders struct {
	*wire
	answers map[netip.Addr]error // missing: silence
	asked   map[health.Target]int
}

func newHolders(w *wire, holding ...string) *holders {
	h := &holders{wire: w, answers: map[netip.Addr]error{}, asked: map[health.Target]int{}}
	h.hold(nil, holding...)
	return h
}

func (h *holders) hold(err error, addresses ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range addresses {
		h.answers[addr(a)] = err
	}
}

func (h *holders) lose(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.answers, addr(address))
}

func (h *holders) ask(ctx context.Context, t health.Target) error {
	h.mu.Lock()
	h.asked[t]++
	err, known := h.answers[t.Holder]
	h.mu.Unlock()
	if !known {
		<-ctx.Done()
		return fmt.Errorf("silent: %w", os.ErrDeadlineExceeded)
	}
	return err
}

func startDirect(t *testing.T, h *holders, spec balancer.Spec) *rig {
	return start(t, h.wire, spec, health.WithHalfOpen(h.ask))
}

// A dsr backend is up when it answers at both addresses, and down when it does not at
// either, each after as many answers as the file says.
func TestBothMustBeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11", "10.0.0.12")
		r := startDirect(t, h, directSpec())
		after(time.Second)
		r.expect("at first", map[string]string{"web/a": "up", "web/b": "up"})

		h.lose("10.0.0.12")
		after(18 * time.Second)
		r.expect("after two bad answers at most", map[string]string{"web/b": "up"})
		after(15 * time.Second)
		r.expect("after three", map[string]string{"web/a": "up", "web/b": "down"})
		if got := r.View().Services[0].Backends[1].Check; got != "no answer within 1s: silent: i/o timeout" {
			t.Errorf("the check says %q", got)
		}
		h.hold(nil, "10.0.0.12")
		after(22 * time.Second)
		r.expect("after two good ones", map[string]string{"web/b": "up"})

		w.answer(errRefused, "10.0.0.12")
		after(33 * time.Second)
		r.expect("with the other bad", map[string]string{"web/a": "up", "web/b": "down"})
		w.answer(nil, "10.0.0.12")
		after(22 * time.Second)
		r.expect("and good again", map[string]string{"web/b": "up"})
	})
}

// A backend that dies answers neither: that is one bad answer a round, not two.
func TestDeathCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11", "10.0.0.12")
		r := startDirect(t, h, directSpec())
		after(time.Second)
		w.answer(errRefused, "10.0.0.12")
		h.lose("10.0.0.12")
		after(18 * time.Second)
		r.expect("after two rounds", map[string]string{"web/b": "up"})
		after(15 * time.Second)
		r.expect("after three", map[string]string{"web/a": "up", "web/b": "down"})
	})
}

// One that never held the address is not up for a moment, though its check is good.
func TestNeverHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11")
		r := startDirect(t, h, directSpec())
		for range 20 {
			after(100 * time.Millisecond)
			if f := r.flags("web", "b"); r.View().Services[0].Backends[1].State == BackendUp {
				t.Fatalf("b is up, flags %b", f)
			}
		}
		r.expect("in the end", map[string]string{"web/a": "up", "web/b": "down"})
	})
}

// Backends that serve several addresses are asked for each, but checked once.
func TestCheckIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11", "10.0.0.12")
		spec := directSpec()
		for i := range 9 {
			s := spec.Services[0]
			s.Name, s.Address = fmt.Sprint("web", i), addr(fmt.Sprintf("192.0.2.%d", 100+i))
			spec.Services = append(spec.Services, s)
		}
		r := startDirect(t, h, spec)
		after(95 * time.Second)
		r.expect("in the end", map[string]string{"web/a": "up", "web8/b": "up"})
		if n := w.probed("10.0.0.11:80"); n < 9 || n > 12 {
			t.Errorf("%d checks in 95 s at an interval of 10 s", n)
		}
		if len(h.asked) != 20 {
			t.Errorf("%d questions about 10 addresses at 2 backends", len(h.asked))
		}
		// A service that comes later has the check's answer, but not its address's.
		h.lose("10.0.0.12")
		late := spec.Services[0]
		late.Name, late.Address = "late", addr("192.0.2.200")
		spec.Services = append(spec.Services[:len(spec.Services):len(spec.Services)], late)
		r.must(r.Reload(t.Context(), spec))
		after(500 * time.Millisecond)
		r.expect("right after it has come", map[string]string{"late/a": "up", "late/b": "warming", "web/b": "up"})
		after(2 * time.Second)
		r.expect("when it is known", map[string]string{"late/a": "up", "late/b": "down"})
	})
}

// A port that no client needs may be silent for a packet filter's sake. Only where another
// one of the service answers, silence means what it does elsewhere.
func TestSilenceOfAPortThatNobodyNeeds(t *testing.T) {
	for _, c := range []struct {
		holding []string
		want    string
		check   string
	}{
		{nil, "up", "ok, but no answer within 1s: silent: i/o timeout"},
		{[]string{"10.0.0.11"}, "down", "no answer within 1s: silent: i/o timeout"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire("10.0.0.11", "10.0.0.12")
			spec := directSpec()
			spec.Services[0].Protocol = balancer.UDP
			r := startDirect(t, newHolders(w, c.holding...), spec)
			after(balancer.WarmUp + time.Minute)
			r.expect(fmt.Sprint(c.holding, " hold it"), map[string]string{"web/a": "up", "web/b": c.want})
			if got := r.View().Services[0].Backends[1].Check; got != c.check {
				t.Errorf("%v hold it: the check says %q, want %q", c.holding, got, c.check)
			}
		})
	}
}

// What the balancer can't ask is its own trouble, is told, and holds nobody up.
func TestUnableToAskForTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w)
		h.hold(fmt.Errorf("open a packet socket: %w", syscall.EPERM), "10.0.0.11", "10.0.0.12")
		r := startDirect(t, h, directSpec())
		after(time.Second)
		r.expect("without a packet socket", map[string]string{"web/a": "up", "web/b": "up"})
		if n := len(r.View().Troubles); n != 1 || r.logged(cannotAsk) != 1 {
			t.Errorf("%d troubles, told %d times", n, r.logged(cannotAsk))
		}
		w.answer(errRefused, "10.0.0.12")
		after(33 * time.Second)
		r.expect("with a bad check", map[string]string{"web/a": "up", "web/b": "down"})
	})
	synctest.Test(t, func(t *testing.T) { // it comes later, and is no good answer
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11")
		r := startDirect(t, h, directSpec())
		after(time.Minute)
		h.hold(syscall.EMFILE, "10.0.0.11", "10.0.0.12")
		after(time.Minute)
		r.expect("without descriptors", map[string]string{"web/a": "up", "web/b": "down"})
	})
}

// What is known of the address survives a reload that does not change the question.
func TestReloadKeepsWhoHoldsTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		h := newHolders(w, "10.0.0.11")
		r := startDirect(t, h, directSpec())
		after(time.Minute)
		for i := range 5 {
			spec := directSpec()
			spec.Services[0].Health.Interval = time.Duration(11+i) * time.Second
			r.must(r.Reload(t.Context(), spec))
			after(300 * time.Millisecond)
			r.expect("after a reload", map[string]string{"web/a": "up", "web/b": "down"})
		}
		h.hold(nil, "10.0.0.12")
		after(time.Minute)
		r.expect("in the end", map[string]string{"web/a": "up", "web/b": "up"})
	})
}

// What half-open probes are told of the link, which is what packets go by.
func TestServed(t *testing.T) {
	w := newWire("10.0.0.11", "10.0.0.12")
	spec := directSpec()
	own := spec.Services[0]
	own.Address, own.First, own.Last, own.Backends = addr("10.0.0.1"), 30000, 65000, nil
	datagrams := own
	datagrams.First, datagrams.Protocol = 20000, balancer.UDP
	spec.Services = append(spec.Services, own, datagrams)
	r := New(Options{Engine: &kernel{}, Loads: balancer.NewLoads(), Spec: spec, Log: nopLog, Events: events.NewRecorder(nopLog)})
	t.Cleanup(r.prober.Close)
	r.alarm = time.NewTimer(time.Hour)
	s := served{r}
	if h, err := s.Hop(addr("10.0.0.11"), true); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("without an interface: %v, %v", h, err)
	}
	r.observed.hops = w
	if err := r.reconcile(); err != nil {
		t.Fatal(err)
	}
	if h, err := s.Hop(addr("10.0.0.11"), true); err != nil || h.Ifindex != 2 || h.MAC != [6]byte{2, 0, 0, 0, 0, 1} {
		t.Errorf("the way is %+v: %v", h, err)
	}
	w.change(func(s *egress.Snapshot) {
		h := s.Hops[addr("10.0.0.11")]
		h.Known = false
		s.Hops[addr("10.0.0.11")] = h
		h = s.Hops[addr("10.0.0.12")]
		h.OnLink = false
		s.Hops[addr("10.0.0.12")] = h
	})
	if err := r.reconcile(); err != nil {
		t.Fatal(err)
	}
	if h, err := s.Hop(addr("10.0.0.12"), false); err != nil || h.MAC != [6]byte{2, 0, 0, 0, 0, 2} {
		t.Errorf("the way by a router is %+v: %v", h, err)
	}
	for _, a := range []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"} {
		if h, err := s.Hop(addr(a), true); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("the way to %s is %+v: %v", a, h, err)
		}
	}
	for a, want := range map[string]bool{
		"10.0.0.1:30000": true, "10.0.0.1:65000": true, "10.0.0.1:29999": false, "10.0.0.1:65001": false, "10.0.0.2:30000": false,
		"10.0.0.1:25000": false, // UDP's
	} {
		if got := s.Taken(netip.MustParseAddrPort(a)); got != want {
			t.Errorf("%s is taken: %v", a, got)
		}
	}
}

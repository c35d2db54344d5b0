package health

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
)

var errRefused = errors.New("refused")

// target returns a tcp target that is probed every 10 s for at most 2 s.
func target(port int) Target {
	return Target{
		Address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(port)),
		Type:    balancer.HealthTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second,
	}
}

// targets returns n of them, with ports from 1 on.
func targets(n int) []Target {
	list := make([]Target, n)
	for i := range list {
		list[i] = target(i + 1)
	}
	return list
}

// dialled is one call of a scene's dial function.
type dialled struct {
	address string
	at      time.Time
}

// scene is a Prober in a bubble of its own time, with what it dialled and reported.
type scene struct {
	*Prober
	mu      sync.Mutex
	dialled []dialled
	results []Result
	inside  map[string]int // dials under way, by address
	most    int            // were under way at once
	crowded bool           // there were two of one address at once
}

func newScene(t *testing.T, dial func(ctx context.Context) error, options ...Option) *scene {
	s := &scene{inside: map[string]int{}}
	options = append(options, WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "tcp" {
			t.Errorf("dial %s %s", network, address)
		}
		s.enter(address)
		defer s.leave(address)
		if err := dial(ctx); err != nil {
			return nil, err
		}
		here, there := net.Pipe()
		there.Close()
		return here, nil
	}))
	s.Prober = New(zap.NewNop(), func(r Result) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.results = append(s.results, r)
	}, options...)
	return s
}

func (s *scene) enter(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled = append(s.dialled, dialled{address, time.Now()})
	s.inside[address]++
	s.crowded = s.crowded || s.inside[address] > 1
	total := 0
	for _, n := range s.inside {
		total += n
	}
	s.most = max(s.most, total)
}

func (s *scene) leave(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside[address]--; s.inside[address] == 0 {
		delete(s.inside, address)
	}
}

// count returns how many results there are once all goroutines wait.
func (s *scene) count() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.results)
}

// due returns when the targets that sleep are due.
func (s *scene) due() map[Target]time.Time {
	s.Prober.mu.Lock()
	defer s.Prober.mu.Unlock()
	due := map[Target]time.Time{}
	for target, t := range s.targets {
		if t.place == sleeping {
			due[target] = t.due
		}
	}
	return due
}

func open(context.Context) error { return nil }

func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// after returns a dial function that opens a connection in its own time, whatever
// its context says.
func after(d time.Duration) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

package health

import (
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// Result is the answer to one probe.
type Result struct {
	Target Target
	Start  time.Time     // when the probe began; it had its turn by then
	Took   time.Duration // from Start to the verdict
	Err    error         // nil: the target is well. The same cause has the same text each time.
	Local  bool          // Err is the balancer's own trouble, and no verdict about the target
}

// Dial opens a connection, as [net.Dialer.DialContext] does. It must give up
// when its context ends.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Option changes how a [Prober] works.
type Option func(*Prober)

// WithDial makes the Prober connect by dial. It can tell the balancer's own trouble
// from the network's by the kind of the error only; see local.go for what the
// Prober's own way of connecting knows besides.
func WithDial(dial Dial) Option {
	return func(p *Prober) {
		p.dial = func(ctx context.Context, t *Target) (net.Conn, error) {
			return dial(ctx, t.network(), t.Address.String())
		}
	}
}

// WithLink tells the Prober what half-open probes have to know. Without it there is
// nothing that they could ask.
func WithLink(l Link) Option {
	return func(p *Prober) { p.link = l }
}

// HalfOpen asks whether a target's Holder holds its Address. It must give up when its
// context ends.
type HalfOpen func(ctx context.Context, t Target) error

// WithHalfOpen makes the Prober ask by ask where it would send half-open probes.
func WithHalfOpen(ask HalfOpen) Option {
	return func(p *Prober) { p.open = ask }
}

// WithPace has the Prober ask pace, after it has reported a result, how long from the start of
// that probe to the next one of the target; 0: its interval.
func WithPace(pace func(Result) time.Duration) Option {
	return func(p *Prober) { p.pace = pace }
}

// WithInFlight bounds how many probes are under way at a time, hanging up included, and
// with it how many descriptors they need: one each, and two for all half-open ones. It
// is [DefaultInFlight] otherwise.
func WithInFlight(n int) Option {
	return func(p *Prober) { p.free = max(n, 1) }
}

// DefaultInFlight is how many probes are under way at most. A dead target keeps its
// place for its timeout: with 2 s of that, 640 dead targets can be asked every 5 s
// before probes come late.
const DefaultInFlight = 256

// Prober probes a set of targets. Its methods may be called from any goroutine;
// Close not from inside of report.
type Prober struct {
	log    *zap.Logger
	report func(Result)
	pace   func(Result) time.Duration
	dial   func(context.Context, *Target) (net.Conn, error)
	open   HalfOpen
	link   Link // nil: unknown

	wires   wires
	signers signers
	running sync.WaitGroup // goroutines that probe or report

	mu      sync.Mutex
	targets map[Target]*probing // also removed ones that are not sleeping yet
	queue   []*probing          // who waits for a turn, the longest waiting first
	calls   []*call             // that are being hung up, the longest first
	free    int                 // how many more probes may be in flight
	closed  bool
}

// New returns a Prober without targets. Results go to report, called at the same
// time for different targets but in order for each; a report that takes long
// delays only its own target's next probe.
func New(log *zap.Logger, report func(Result), options ...Option) *Prober {
	p := &Prober{
		log:     log,
		report:  report,
		pace:    func(Result) time.Duration { return 0 },
		dial:    connect,
		targets: map[Target]*probing{},
		free:    DefaultInFlight,
	}
	p.open = p.halfOpen
	for _, o := range options {
		o(p)
	}
	return p
}

// Set makes targets the set that is probed; duplicates are probed once, and those of
// balancer.HealthNone never. Targets that were in it already go on undisturbed; new
// ones get their first probe soon, those that are gone get none any more. Set does
// not wait for probes that are under way: their results are dropped, but a call of
// report that has begun goes on. After Close, Set does nothing.
func (p *Prober) Set(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	next := make(map[Target]*probing, len(targets))
	var fresh []*probing
	for _, target := range targets {
		if next[target] != nil || target.Type == balancer.HealthNone {
			continue
		}
		t := p.targets[target]
		if t == nil {
			t = &probing{target: target}
			fresh = append(fresh, t)
		}
		t.restore()
		next[target] = t
	}
	for target, t := range p.targets {
		if next[target] == nil && !t.remove() {
			next[target] = t // who comes back meanwhile has to wait for it
		}
	}
	p.targets = next
	window := spread(len(fresh), maxSpread)
	for _, t := range fresh {
		p.start(t, within(window))
	}
}

// Kick has every target probed at once, without waiting for its time: what was known
// is of little worth, for instance since the balancer's own link is back. A target
// whose probe is under way gets one more right after it.
func (p *Prober) Kick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	now, window := time.Now(), spread(len(p.targets), maxKick)
	for _, t := range p.targets {
		t.hasten(now.Add(within(window)))
	}
}

// Hasten has a target probed after d at the latest, for there is some news of it. If it is
// under way, that is soon enough.
func (p *Prober) Hasten(target Target, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[target]; t != nil && t.place == sleeping && !p.closed {
		t.hasten(time.Now().Add(d))
	}
}

// Next returns when a target is probed next; zero: it is under way or waits for its turn, or it
// is none.
func (p *Prober) Next(target Target) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[target]; t != nil && t.place == sleeping {
		return t.due
	}
	return time.Time{}
}

// Close stops all probes and returns when the last goroutine has ended: no result
// is reported after it. Servers that have not come to an end have a moment for it.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.targets {
		t.remove()
	}
	for _, c := range p.calls {
		c.hasten(linger)
	}
	p.mu.Unlock()
	p.running.Wait()
	p.wires.close()
}

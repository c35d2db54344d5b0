package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
)

// Options say what to replay.
type Options struct {
	Spec   *balancer.Spec // valid
	Engine engine.Config  // what an offline engine takes of it
	// Ports are the names of the served interfaces, at least one. What was captured on one of
	// that name comes by it, and everything else by the first.
	Ports []string
	MTU   int // of their packets; 0: no limit
	// MACs are those that the machine takes frames for, the interfaces' own first. None:
	// frames are taken whomever they are for, and an interface's own is that which the
	// first packet for a service is sent to there.
	MACs []packet.MAC
	// Addresses are the machine's own: what backends send there is the kernel's, and
	// tunnels come from them, unless the config says from where.
	Addresses []netip.Addr
	Events    []Event
	In        *capture.Reader
	Out       *capture.Writer     // of what was sent; nil: nowhere
	Report    func(*Record) error // of each packet; nil: to nobody
}

// Summary is what became of all packets.
type Summary struct {
	Packets  int
	Others   int // of a link type other than Ethernet: no interface that can be served has such
	Passed   int // not for the balancer
	Sent     int
	Verdicts [packet.NumVerdicts]uint64 // as a running balancer counts: of one that was cut, of its pieces
	Cut      int                        // packets that the capture had only the beginning of
	TooLong  int                        // of those for the balancer, longer than [MaxPacket]: they are counted as too-big
	// Guessed are the backends of which the config names no next hop: one was made up.
	Guessed []netip.Addr
	// Sources are addresses of the machine's own that were made up, for tunnels to come from.
	Sources []netip.Addr
	Held    int // fragments that wait to the end
}

// player is one replay under way.
type player struct {
	options *Options
	wires   []*Wire // by port
	world   *world
	events  []Event // that are still to come, in order of time
	first   time.Time
	now     time.Duration // since first
	buffer  []byte        // a packet that was cut, made whole

	current capture.Packet
	record  *Record // of it; nil: nobody wants to know
	sent    []frame // while it was handled
	own     int     // of these, how many it has brought about itself
	missing int     // bytes at the end of its own frame that the capture does not have
	alien   uint16  // a link type of summary.Others
	summary Summary
}

// frame is one that was sent, by a port.
type frame struct {
	data []byte
	port int
}

// ErrNoBackend says that an event names a backend that there is none of.
var ErrNoBackend = errors.New("no backend is called")

// ErrNoEthernet says that a capture has not one Ethernet frame.
var ErrNoEthernet = errors.New("the capture has no Ethernet frames")

// Check says whether the events are about backends that there are. Run does so too.
func (o *Options) Check() error {
	for i := range o.Events {
		if err := check(&o.Events[i], o.Spec); err != nil {
			return err
		}
	}
	return nil
}

// Run replays a capture to its end, or until ctx ends. On an error, what was written until
// then is whole.
func Run(ctx context.Context, o *Options) (Summary, error) {
	p := &player{options: o, buffer: make([]byte, capture.MaxLength)}
	if err := o.Check(); err != nil {
		return Summary{}, err
	}
	var first *Wire
	for i := range o.Ports {
		w, err := NewWire(i, len(o.Ports), first, func(data []byte) { p.sent = append(p.sent, frame{data, i}) })
		if err != nil {
			return Summary{}, err
		}
		p.wires, first = append(p.wires, w), cmp.Or(first, w)
	}
	var err error
	if p.world, err = newWorld(o, p.wires); err != nil {
		return Summary{}, err
	}
	defer p.world.device.Close()
	if o.Report != nil {
		p.record = &Record{}
	}
	err = p.play(ctx)
	if o.Out != nil {
		err = errors.Join(err, o.Out.Flush())
	}
	return p.sum(), err
}

// sum returns the summary, with what the worker has counted.
func (p *player) sum() Summary {
	s, v := p.summary, p.world
	_, _ = v.engine.Step(0) // without packets: it tells its counters, and nothing can go wrong
	s.Verdicts, s.Held = v.engine.Total().Verdicts, v.engine.Held()
	s.Verdicts[packet.DropTooBig] += uint64(s.TooLong)
	s.Guessed, s.Sources = slices.SortedFunc(slices.Values(v.guessed), netip.Addr.Compare), v.sources
	return s
}

func (p *player) play(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := p.options.In.Next()
		switch {
		case err == io.EOF && p.summary.Others > 0 && p.summary.Others == p.summary.Packets:
			return fmt.Errorf("%w: the link type is %d; want Ethernet (1)", ErrNoEthernet, p.alien)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		p.summary.Packets++
		if kind := p.options.In.Interfaces()[c.Interface].LinkType; kind != capture.Ethernet {
			p.summary.Others++
			p.alien = kind
			continue
		}
		if p.summary.Packets-p.summary.Others == 1 {
			p.begin(c.Time)
		}
		if err := p.advance(c.Time.Sub(p.first)); err != nil {
			return err
		}
		p.current = c
		if err := p.packet(); err != nil {
			return fmt.Errorf("packet %d: %w", p.summary.Packets, err)
		}
	}
}

// begin puts the events in order, now that it is known when the first packet came.
func (p *player) begin(first time.Time) {
	p.first = first
	for _, e := range p.options.Events {
		e.After, e.At = e.since(first), time.Time{}
		p.events = append(p.events, e)
	}
	p.events = append(p.events, p.world.draining()...)
	p.order()
}

func (p *player) order() {
	slices.SortStableFunc(p.events, func(a, b Event) int { return cmp.Compare(a.After, b.After) })
}

// advance lets time pass up to that of a packet, and happen what is due until then. Time
// never goes back, although that of a capture may.
func (p *player) advance(to time.Duration) error {
	for len(p.events) > 0 && p.events[0].After <= max(to, p.now) {
		e := p.events[0]
		p.events = p.events[1:]
		p.pass(e.After)
		later, err := p.world.happen(&e, p.now)
		if err != nil {
			return err
		}
		p.events = append(p.events, later...)
		p.order()
	}
	p.pass(to)
	return nil
}

// expireEvery is how often a running engine looks for idle flows.
const expireEvery = 100 * time.Millisecond

// stride is the most time that passes at once: the engine's clock begins anew after 49 days,
// and what was idle for so long would look as if it was not.
const stride = 24 * time.Hour

// pass lets time pass. Flows and fragments that are idle for too long are removed at the
// ticks on the way. Between packets nobody looks at them, so that only the last tick counts,
// and those before it only as far as it left something to do.
func (p *player) pass(to time.Duration) {
	for p.now < to {
		next := to
		if to-p.now > stride {
			next = p.now + stride
		}
		if ticks := next/expireEvery - p.now/expireEvery; ticks > 0 {
			p.world.clock.Set(next.Truncate(expireEvery))
			for range ticks {
				if p.world.engine.Expire() == 0 {
					break
				}
			}
			_, _ = p.world.engine.Step(0) // without packets
		}
		p.now = next
		p.world.clock.Set(next)
	}
}

// packet has one packet go its way.
func (p *player) packet() error {
	c := &p.current
	frame := c.Data
	if p.missing = max(0, c.Length-len(frame)); p.missing > 0 {
		p.summary.Cut++
		// Decisions go by headers and lengths: zeros do for the rest. What is longer than the
		// buffer is too long anyway.
		frame = p.buffer[:min(c.Length, len(p.buffer))]
		clear(frame[copy(frame, c.Data):])
	}
	if p.record != nil {
		p.record.begin(p, frame)
	}
	why, err := p.world.steering.Judge(frame)
	if err != nil {
		return err
	}
	p.sent, p.own = p.sent[:0], 0
	if why == bpf.Passed {
		p.summary.Passed++
	} else if err := p.steered(frame); err != nil {
		return err
	}
	if p.record == nil {
		return nil
	}
	p.record.Steering = why.String()
	return p.options.Report(p.record)
}

// port returns by which one the packet comes.
func (p *player) port() int {
	name := p.options.In.Interfaces()[p.current.Interface].Name
	return max(0, slices.Index(p.options.Ports, name))
}

// steered has a packet that is the balancer's go through the worker.
func (p *player) steered(data []byte) error {
	port := p.port()
	if err := p.world.learn(port, packet.DestinationMAC(data)); err != nil {
		return err
	}
	fits, err := p.wires[port].Deliver(data)
	if err != nil {
		return err
	}
	end := engine.Outcome{Verdict: packet.DropTooBig}
	if !fits {
		p.summary.TooLong++
	} else if end, err = p.step(); err != nil {
		return err
	}
	p.summary.Sent += len(p.sent)
	if p.record != nil {
		p.record.end(end, p.world.engine.Table(), p.sent, p.own, p.options.Ports)
	}
	if p.options.Out == nil {
		return nil
	}
	return p.write(end.Verdict)
}

// step has the worker handle the packet that was delivered, and those that had waited for
// it. It returns what became of the one: if it was cut, of its first piece.
func (p *player) step() (engine.Outcome, error) {
	e := p.world.engine
	if _, err := e.Step(0); err != nil {
		return engine.Outcome{}, err
	}
	end := e.Outcome(0, 0)
	p.own = len(p.sent)
	for cut := end.Verdict == packet.Pending; e.Again(0); cut = false {
		n, err := e.Step(0)
		if err != nil || n == 0 {
			return end, err
		}
		if cut { // its pieces are the first that come again
			end, p.own, p.missing = e.Outcome(0, 0), min(1, len(p.sent)), 0
		}
	}
	return end, nil
}

// write writes what was sent. Of a packet that was captured in part, it is a part, unless it
// was cut.
func (p *player) write(v packet.Verdict) error {
	for i, f := range p.sent {
		out := capture.Packet{Time: p.current.Time, Data: f.data, Length: len(f.data), Interface: f.port}
		if i < p.own && v == packet.Forwarded {
			out.Data = f.data[:max(0, len(f.data)-p.missing)]
		}
		if err := p.options.Out.Write(&out); err != nil {
			return err
		}
	}
	return nil
}

package announce

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// Options say what to hold, and who is to hear of it. The functions are called by whoever
// calls Look, and by Run.
type Options struct {
	Wants func() map[netip.Addr]balancer.Announce // addresses to be held now, and how
	Ports func() []string                         // names of the served interfaces
	Tell  func(a netip.Addr, was, is State)       // of each change
}

// State is how it is with an address. The zero value is that of one that nobody wants.
type State struct {
	How      balancer.Announce
	Held     bool   // by this process
	Device   string // that has it, or is to have it
	Problem  string // why it is not held, or told to nobody; empty: nothing is wrong
	Conflict string // MAC address of another machine that says it has it; empty: none
}

// Announcer holds addresses. Its methods may be called by anyone.
type Announcer struct {
	// Immutable.

	o    Options
	seat seat
	kick chan struct{}

	published atomic.Pointer[map[netip.Addr]State] // never changed once it is there

	mu      sync.Mutex // the rest; held for a look's system calls
	device  *device    // nil: not needed yet
	sockets map[tap]*socket
	entries map[netip.Addr]*entry
	ended   bool
}

// tap says where a socket listens.
type tap struct {
	device int
	ipv6   bool
}

// look is what a step goes by.
type look struct {
	now   time.Time
	links []link
	own   []address

	ignores map[string]int // by device: the arp_ignore that holds there, once it is asked for
}

const (
	// lookInterval is how often the kernel is asked whether all is as it should be. What
	// wants it sooner kicks.
	lookInterval = time.Second
	// hurry is how often it is while an address is about to be taken.
	hurry = 100 * time.Millisecond
)

// Open takes a seat in the network namespace of the calling thread, and takes addresses away
// that a process before has left there.
func Open(o Options) (*Announcer, error) {
	s, err := take(sweep)
	if err != nil {
		return nil, err
	}
	a := &Announcer{o: o, seat: s, kick: make(chan struct{}, 1), sockets: map[tap]*socket{}, entries: map[netip.Addr]*entry{}}
	a.published.Store(&map[netip.Addr]State{})
	return a, nil
}

// sweep takes away what is marked by a seat that is free.
func sweep(number int) error {
	own, err := addresses()
	if err != nil {
		return err
	}
	for _, a := range own {
		if a.mark == mark+uint32(number) && a.IsSingleIP() {
			if err := remove(a.device, a.Addr()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Kick has Run look at once.
func (a *Announcer) Kick() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Run looks again and again until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	for next := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
		case <-time.After(next):
		}
		next = lookInterval
		if a.Look() {
			next = hurry
		}
	}
}

// Look makes things as they should be now, as far as that is to be had at once, and reports
// whether there is more to be done soon.
func (a *Announcer) Look() (soon bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return false
	}
	wants := a.o.Wants()
	if len(wants)+len(a.entries) == 0 {
		return false
	}
	for addr, how := range wants {
		if e := a.entries[addr]; e == nil || e.how != how {
			a.withdraw(addr)
			a.entries[addr] = &entry{address: addr, how: how}
		}
	}
	for addr := range a.entries {
		if wants[addr] == balancer.AnnounceNone {
			a.withdraw(addr)
		}
	}
	// What was withdrawn would be somebody else's else, where the way has changed.
	l, err := see()
	for _, e := range a.entries {
		if err != nil {
			e.problem = err.Error()
		}
	}
	if err == nil {
		soon = a.step(l)
	}
	a.hush()
	a.publish()
	return soon
}

// see looks at the machine.
func see() (l *look, err error) {
	l = &look{now: time.Now()}
	if l.links, err = links(); err == nil {
		l.own, err = addresses()
	}
	return l, err
}

// step has each entry go on.
func (a *Announcer) step(l *look) (soon bool) {
	ports := a.o.Ports()
	for at, s := range a.sockets {
		s.hear(func(c claim) {
			if e := a.entries[c.address]; e != nil && e.device == at.device && !l.owns(c.mac) {
				e.heard(c, l.now)
			}
		})
	}
	for _, e := range a.entries {
		switch e.how {
		case balancer.AnnounceLocal:
			e.problem = problem(a.local(e, l))
		case balancer.AnnounceARP:
			err := a.arp(e, l, ports)
			e.problem = problem(err)
			soon = soon || err == nil && (e.phase == asks || e.phase == isNew)
		}
	}
	return soon
}

func problem(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// local has an address on the balancer's own device.
func (a *Announcer) local(e *entry, l *look) (err error) {
	if o := l.find(e.address); o != nil && (a.device == nil || o.device != a.device.index) {
		e.phase = isNew
		return l.stranger(o)
	}
	if a.device == nil || l.link(a.device.index) == nil { // somebody has taken it away
		if a.device != nil {
			a.device.close()
		}
		if a.device, err = openDevice(fmt.Sprintf("afxlb%d", a.seat.number)); err != nil {
			a.device, e.phase = nil, isNew
			return err
		}
		if l.links, err = links(); err != nil {
			return err
		}
	}
	if l.find(e.address) == nil {
		if err := put(a.device.index, e.address, 0); err != nil {
			e.phase = isNew
			return err
		}
	}
	e.phase, e.device, e.name = holds, a.device.index, a.device.name
	return nil
}

// withdraw takes an address away, if it is held.
func (a *Announcer) withdraw(addr netip.Addr) {
	e := a.entries[addr]
	if e == nil {
		return
	}
	delete(a.entries, addr)
	if e.phase == holds {
		// Without the interface it is gone; if it can't be taken away else, the next start will.
		_ = remove(e.device, addr)
	}
}

// hush closes what nobody needs any more: the device without addresses, too.
func (a *Announcer) hush() {
	need, local := map[tap]bool{}, false
	for _, e := range a.entries {
		need[tap{e.device, e.address.Is6()}] = true
		local = local || e.how == balancer.AnnounceLocal
	}
	for at, s := range a.sockets {
		if !need[at] {
			s.close()
			delete(a.sockets, at)
		}
	}
	if !local && a.device != nil {
		a.device.close()
		a.device = nil
	}
}

// States returns how it is with each address that is wanted. It waits for nobody, and is not
// to be changed.
func (a *Announcer) States() map[netip.Addr]State { return *a.published.Load() }

// publish makes States what is so now, and tells of what has changed.
func (a *Announcer) publish() {
	was, is := a.States(), make(map[netip.Addr]State, len(a.entries))
	for addr, e := range a.entries {
		is[addr] = e.state()
	}
	a.published.Store(&is)
	all := maps.Clone(was)
	maps.Copy(all, is)
	for addr := range all {
		if was[addr] != is[addr] {
			a.o.Tell(addr, was[addr], is[addr])
		}
	}
}

// Close takes all addresses away, and gives the seat up.
func (a *Announcer) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr := range a.entries {
		a.withdraw(addr)
	}
	a.hush()
	a.publish()
	a.ended = true
	a.seat.leave()
}

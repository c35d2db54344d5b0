package neighbour

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// resolveInterval is how often the kernel is asked again for what is missing.
	resolveInterval = time.Second
	// refreshEvery, in resolve intervals, is how often it is reminded of what is in
	// use: else a neighbour that only AF_XDP talks to becomes stale and is collected.
	refreshEvery = 20
	// settleTime collects a burst of changes into one look at the tables.
	settleTime = 5 * time.Millisecond
)

// Watcher follows the tables for one interface. Its methods may be called by anyone.
type Watcher struct {
	name    string
	ifindex int
	log     *zap.Logger
	changed func()
	link    *netlink.Handle // the watching goroutine's
	events  *subscription
	stop    chan struct{}
	ended   chan struct{}
	look    chan struct{} // holds a token when the wanted addresses have changed

	mu      sync.Mutex
	wanted  []netip.Addr
	current Snapshot
}

// New returns a watcher of the interface, in the calling thread's network
// namespace. It calls changed, from one goroutine, whenever a Snapshot would differ
// from the one before.
func New(name string, log *zap.Logger, changed func()) (*Watcher, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch neighbours of %s: %w", name, err)
	}
	l, err := h.LinkByName(name)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("watch neighbours of %s: %w", name, err)
	}
	events, err := subscribe()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("watch neighbours of %s: %w", name, err)
	}
	w := &Watcher{
		name: name, ifindex: l.Attrs().Index, log: log, changed: changed, link: h, events: events,
		stop: make(chan struct{}), ended: make(chan struct{}), look: make(chan struct{}, 1),
	}
	w.current = w.read(nil)
	go w.watch()
	return w, nil
}

// Set replaces the addresses whose next hops are wanted. Their hops are in the
// Snapshot as soon as changed is called, with or without a MAC address.
func (w *Watcher) Set(addrs []netip.Addr) {
	w.mu.Lock()
	w.wanted = append([]netip.Addr(nil), addrs...)
	w.mu.Unlock()
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// Snapshot returns what is known now.
func (w *Watcher) Snapshot() Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// Close ends the watcher. changed is not called any more when it returns; it must
// not be called from changed.
func (w *Watcher) Close() {
	close(w.stop)
	w.events.close()
	<-w.ended
	w.link.Close()
}

// watch looks at the tables after every event, and asks the kernel for what is
// missing at once and then every interval.
func (w *Watcher) watch() {
	defer close(w.ended)
	tick := time.NewTicker(resolveInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-w.stop:
			return
		case <-w.look:
		case <-w.events.changed:
			select { // let a burst pass; what comes later wakes us again
			case <-w.stop:
				return
			case <-time.After(settleTime):
			}
		case <-tick.C:
			w.resolve(n%refreshEvery == 0)
			continue
		}
		w.update()
		w.resolve(false)
	}
}

// update reads the tables and tells if something is new.
func (w *Watcher) update() {
	w.mu.Lock()
	wanted := w.wanted
	w.mu.Unlock()
	s := w.read(wanted)
	w.mu.Lock()
	differs := !s.equal(&w.current)
	w.current = s
	w.mu.Unlock()
	if differs {
		w.changed()
	}
}

// read makes a snapshot. What can't be read stays as it was.
func (w *Watcher) read(wanted []netip.Addr) Snapshot {
	s := w.Snapshot()
	l, err := w.link.LinkByIndex(w.ifindex)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		s.Gone = true
		return s
	case err != nil:
		w.log.Warn("read interface", zap.String("interface", w.name), zap.Error(err))
		return s
	}
	s.Ifindex, s.LinkUp = w.ifindex, l.Attrs().OperState == netlink.OperUp || l.Attrs().OperState == netlink.OperUnknown
	if mac := l.Attrs().HardwareAddr; len(mac) == 6 {
		s.MAC = [6]byte(mac)
	}
	if local, err := w.localAddrs(); err != nil {
		w.log.Warn("read local addresses", zap.Error(err))
	} else {
		s.Local = local
	}
	macs, err := w.neighbours()
	if err != nil {
		w.log.Warn("read neighbours", zap.String("interface", w.name), zap.Error(err))
		return s
	}
	s.Hops = make(map[netip.Addr]Hop, len(wanted))
	for _, a := range wanted {
		h := w.route(a)
		h.MAC, h.Known = macs[h.Via], macs[h.Via] != [6]byte{}
		s.Hops[a] = h
	}
	return s
}

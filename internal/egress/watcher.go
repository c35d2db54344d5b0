package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Watcher follows the tables of a network namespace for the ports. Its methods may be called
// by anyone.
type Watcher struct {
	// Immutable.

	log      *zap.Logger
	changed  func()
	kernel   kernel
	routes   kernel // the same, for long lists: who waits for one waits for nothing else
	release  func() // of what New has opened
	batches  <-chan []event
	want     chan struct{}  // holds a token when the wanted addresses have changed
	gathered chan gathering // of [Watcher.reroute]
	stop     chan struct{}
	ended    chan struct{}

	// The watching goroutine's.

	last      *reading
	index     *index // of last
	fresh     scope  // to be looked at
	again     scope  // looked at since an event; once more, as that may have come too early
	rested    time.Time
	refreshed time.Time
	asked     time.Time // when all that are missing were asked for
	warned    time.Time // of moves that are too many
	troubled  bool      // the last look met an error
	rerouted  bool      // routes have changed since the gateways were read
	gathering bool      // they are being read
	readable  time.Time // not to be read again before

	mu      sync.Mutex // the rest
	wanted  []netip.Addr
	former  map[Neighbour]Place // see Remember
	current Snapshot
	moves   map[Move]struct{}
}

// New returns a watcher of the network namespace of the calling thread, for interfaces and for
// the slaves of bonds that are named, all of which may come and go. Of the ports some may have
// a number already: those of their places. It calls changed, from one goroutine, whenever a Snapshot
// would differ from the one before.
func New(named, ports []string, log *zap.Logger, changed func()) (*Watcher, error) {
	return open(named, ports, log, changed, func(k kernel) kernel { return k })
}

// open is New, with a test between the watcher and the kernel.
func open(named, ports []string, log *zap.Logger, changed func(), between func(kernel) kernel) (*Watcher, error) {
	h, err := newHandle()
	if err != nil {
		return nil, fmt.Errorf("watch routes and neighbours: %w", err)
	}
	long, err := newHandle()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("watch routes and neighbours: %w", err)
	}
	events, err := subscribe()
	if err != nil {
		h.Close()
		long.Close()
		return nil, fmt.Errorf("watch routes and neighbours: %w", err)
	}
	w := newWatcher(named, ports, log, changed, between(h), events.batches)
	w.routes = long
	w.release = func() {
		events.close()
		h.Close()
		long.Close()
	}
	go w.watch()
	return w, nil
}

// newWatcher returns a watcher that has looked, for the goroutine that runs
// watch.
func newWatcher(named, ports []string, log *zap.Logger, changed func(), k kernel, batches <-chan []event) *Watcher {
	w := &Watcher{
		log: log, changed: func() {}, kernel: k, routes: k, gathered: make(chan gathering), moves: map[Move]struct{}{}, release: func() {}, batches: batches,
		want: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
		last: unread(named, ports), refreshed: time.Now(), rerouted: true,
	}
	w.look(scope{all: true}, askNew)
	if w.last.LinkUp {
		w.rerouted = false
		w.adopt(w.gather(w.last.tree))
	}
	w.changed = changed
	return w
}

// Set replaces the addresses whose next hops are wanted. Their hops are in the
// Snapshot as soon as changed is called, with or without a MAC address.
func (w *Watcher) Set(addrs []netip.Addr) {
	w.mu.Lock()
	w.wanted = slices.Clone(addrs)
	w.mu.Unlock()
	w.wake()
}

// wake has the watching goroutine look at what it was told.
func (w *Watcher) wake() {
	select {
	case w.want <- struct{}{}:
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
	<-w.ended
	w.release()
}

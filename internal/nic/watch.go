package nic

import (
	"time"

	"go.uber.org/zap"
)

const (
	// tickInterval is how often the interface is looked at without an event: some drivers
	// change their queues by themselves, in a reset for instance.
	tickInterval = 2 * time.Second
	// settleTime collects a burst of events into one look. It is short because of what comes
	// by a new queue meanwhile: a veth runs no program there.
	settleTime = time.Millisecond
	// restFactor bounds the looks, however many events there are, to a 20th of a core.
	restFactor = 20
)

// Watcher follows an interface.
type Watcher struct {
	reader *reader
	log    *zap.Logger
	adapt  func(State) error
	events *subscription
	stop   chan struct{}
	ended  chan struct{}

	// The goroutine's own.

	last     State
	again    bool // adapt wants to be called with it again
	troubled bool
}

// Watch follows an interface, in the calling thread's network namespace. It calls adapt
// with its state before it returns, and from then on from one goroutine whenever the
// state is another, and after some time again if adapt returns an error, which is
// adapt's to tell. It tells nothing of an interface that goes: see package egress.
func Watch(name string, log *zap.Logger, adapt func(State) error) (*Watcher, error) {
	events, err := subscribe() // first, so that nothing is missed
	if err != nil {
		return nil, err
	}
	r, err := openReader(name)
	if err != nil {
		events.close()
		return nil, err
	}
	w := &Watcher{reader: r, log: log, adapt: adapt, events: events, stop: make(chan struct{}), ended: make(chan struct{})}
	if w.last, err = r.read(); err != nil {
		events.close()
		r.close()
		return nil, err
	}
	w.again = adapt(w.last) != nil
	go w.watch()
	return w, nil
}

// Close ends the watcher. adapt is not called any more when it returns; it must not be
// called from adapt.
func (w *Watcher) Close() {
	close(w.stop)
	<-w.ended
	w.events.close()
	w.reader.close()
}

func (w *Watcher) watch() {
	defer close(w.ended)
	due := time.NewTimer(tickInterval)
	defer due.Stop()
	rested, soon := time.Now(), false
	for {
		select {
		case <-w.stop:
			return
		case <-w.events.kick:
			if !soon { // or events without end would put the look off for ever
				soon = true
				due.Reset(max(settleTime, time.Until(rested)))
			}
		case <-due.C:
			start := time.Now()
			soon = false
			w.look()
			took := time.Since(start)
			rested = start.Add(restFactor * took)
			due.Reset(tickInterval)
		}
	}
}

// look asks for the state anew. An interface that can't be asked is as it was.
func (w *Watcher) look() {
	s, err := w.reader.read()
	if err != nil {
		if !w.troubled {
			w.log.Debug("the interface can't be looked at; going on with what is known", zap.Error(err))
		}
		w.troubled = true
		return
	}
	w.troubled = false
	if w.again || !s.equal(&w.last) {
		w.last = s
		w.again = w.adapt(s) != nil
	}
}

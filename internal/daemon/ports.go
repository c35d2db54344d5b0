package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// keeper has each interface served while it is there, and the others at work while it is
// not. It ends the serving when none is left.
type keeper struct {
	daemon  *daemon
	watcher *egress.Watcher
	stop    context.CancelCauseFunc
	wake    chan struct{} // holds a token when there is something to do

	// The keeper's goroutine's, once it runs.

	index []int          // of the interfaces that are served; 0: away
	nics  []*nic.Watcher // of those

	mu   sync.Mutex
	anew []error // why the sockets of an interface are to be made anew
}

func newKeeper(d *daemon, indexes []int, stop context.CancelCauseFunc) *keeper {
	n := len(indexes)
	return &keeper{
		daemon: d, stop: stop, wake: make(chan struct{}, 1),
		index: slices.Clone(indexes), nics: make([]*nic.Watcher, n), anew: make([]error, n),
	}
}

func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// begin watches the interfaces that are served.
func (k *keeper) begin() error {
	for i, index := range k.index {
		if index == 0 {
			continue
		}
		if err := k.watch(i); err != nil {
			return err
		}
	}
	k.kick() // for the others
	return nil
}

// run keeps until ctx ends.
func (k *keeper) run(ctx context.Context) {
	look := time.NewTicker(retryInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-k.wake:
		}
		if ctx.Err() != nil { // whichever the select chose: what ends takes nothing more
			return
		}
		ports := k.watcher.Snapshot().Ports
		for i := range ports { // before others are let go of: the last one ends the serving
			k.greet(i, &ports[i])
		}
		for i := range ports {
			if ctx.Err() != nil { // the last one is lost: all that there is ends
				return
			}
			k.tend(i, &ports[i])
		}
	}
}

// end closes the watchers. The keeper does not run any more.
func (k *keeper) end() {
	for i := range k.nics {
		k.unwatch(i)
	}
}

// greet takes an interface that is there and is not served.
func (k *keeper) greet(i int, p *egress.Port) {
	if i == len(k.index) {
		k.index, k.nics = append(k.index, 0), append(k.nics, nil)
		k.mu.Lock()
		k.anew = append(k.anew, nil)
		k.mu.Unlock()
	}
	if k.index[i] != 0 || k.daemon.name(i) != p.Name && !k.rename(i, p.Name) {
		return
	}
	if p.Name != "" {
		k.take(i, p)
	}
}

// tend does what an interface that is served needs.
func (k *keeper) tend(i int, p *egress.Port) {
	if k.index[i] == 0 {
		return
	}
	switch {
	case k.daemon.name(i) != p.Name:
		if k.rename(i, p.Name) {
			k.greet(i, p)
		}
	case p.Ifindex != k.index[i]:
		k.lose(i, errInterfaceGone)
	default:
		if why := k.daemon.engine.Intact(i); why != nil {
			k.lose(i, why)
			k.kick() // it may be there
		} else if why := k.wanted(i); why != nil {
			k.renew(i, why)
		}
	}
}

// wanted returns why an interface is to be served anew, once.
func (k *keeper) wanted(i int) (why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	why, k.anew[i] = k.anew[i], nil
	return why
}

// take serves an interface that was away, if it is there, and the watcher, by which it is
// found again when it goes, has seen it. A bond itself is not served.
func (k *keeper) take(i int, p *egress.Port) {
	d := k.daemon
	now, err := nic.Look(p.Name)
	if err == nil && now.Index != p.Ifindex {
		if _, err = nic.Slaves(p.Name); err == nil {
			return
		}
	}
	if err == nil {
		err = d.fits(&now)
	}
	if err == nil {
		err = d.engine.Take(i, now.Index)
	}
	if err != nil {
		d.away(i, err)
		return
	}
	k.index[i] = now.Index
	if err := k.watch(i); err != nil {
		k.lose(i, err)
		return
	}
	d.here(i)
	in := d.engine.Info()
	d.logPort(&in, i)
	d.control.Notify()
}

// lose lets go of an interface that is away.
func (k *keeper) lose(i int, why error) {
	if k.drop(i, why) {
		k.daemon.away(i, why)
	}
}

// drop lets go of an interface. If it was the last one, the serving ends, and some is false.
func (k *keeper) drop(i int, why error) (some bool) {
	d := k.daemon
	k.unwatch(i)
	k.index[i] = 0
	if slices.Max(k.index) == 0 {
		k.stop(why)
		return false
	}
	d.forget(d.name(i))
	if err := d.engine.Drop(i); err != nil {
		d.events.Record(events.Event{Kind: events.Interface, Severity: events.Error, Interface: d.name(i), Text: "let go of the interface", Reason: err.Error()})
	}
	return true
}

// renew makes the sockets of an interface anew, since those that it has are not right for it
// any more.
func (k *keeper) renew(i int, why error) {
	d := k.daemon
	d.events.Record(events.Event{Kind: events.Anew, Severity: events.Warning, Interface: d.name(i), Text: "serving anew", Reason: why.Error()})
	k.unwatch(i)
	err := doctor.AsMachine(d.engine.Anew(i))
	if err == nil {
		err = k.watch(i)
	}
	if err != nil {
		k.lose(i, err)
		return
	}
	in := d.engine.Info()
	d.logPort(&in, i)
}

// watch follows what an interface is.
func (k *keeper) watch(i int) (err error) {
	k.nics[i], err = k.daemon.watchNIC(i, k.index[i], func(why error) {
		k.mu.Lock()
		k.anew[i] = why
		k.mu.Unlock()
		k.kick()
	})
	return doctor.AsMachine(err)
}

func (k *keeper) unwatch(i int) {
	if k.nics[i] != nil {
		k.nics[i].Close()
		k.nics[i] = nil
	}
	_ = k.wanted(i)
}

// present returns the indices of the interfaces that are there and can be served; 0 are the
// others. At the start they have to be all, and later some.
func (d *daemon) present(all bool) (indexes []int, err error) {
	names := d.names()
	indexes = make([]int, len(names))
	for i, name := range names {
		if name == "" {
			continue
		}
		_, why := nic.Slaves(name) // it may be a bond without any
		var now nic.State
		if why == nil {
			now, why = nic.Look(name)
		}
		if why == nil {
			why = d.fits(&now) // it may be another one than at the start
		}
		if why == nil {
			indexes[i] = now.Index
			continue
		}
		d.note(i, why)
		if err == nil {
			err = why
		}
	}
	if err != nil && (all || slices.Max(indexes) == 0) {
		return nil, err
	}
	return indexes, nil
}

// away notes that an interface is not served while others are, and says so once.
func (d *daemon) away(i int, why error) {
	if !d.note(i, why) {
		return
	}
	text := "an interface is away, and the others are served"
	if !gone(why) {
		text = "an interface can't be served, and the others are; trying again"
	}
	d.events.Record(events.Event{Kind: events.Port, Severity: events.Warning, Interface: d.name(i), Text: text, Reason: why.Error()})
}

// note notes why an interface is away, and reports whether that is news.
func (d *daemon) note(i int, why error) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.state.ports[i]
	if p.Away == why.Error() {
		return false
	}
	if p.Away == "" {
		p.Since = time.Now()
	}
	p.Away = why.Error()
	return true
}

// here notes that an interface is served, and says so if it was away while others were.
func (d *daemon) here(i int) {
	d.mu.Lock()
	p := &d.state.ports[i]
	again := p.Away != "" && d.state.name == api.StateServing
	p.Away, p.Since = "", time.Now()
	d.mu.Unlock()
	if again {
		d.events.Record(events.Event{Kind: events.Port, Over: true, Severity: events.Info, Interface: d.name(i), Text: "over: an interface is away"})
	}
}

// acquire takes the interfaces, and returns what it has taken. At the start, when all have
// to be there, it is all of them; later the first that can be had, and the keeper takes the
// others.
func (d *daemon) acquire(indexes []int, all bool) (taken []int, err error) {
	if all {
		return indexes, doctor.AsMachine(d.engine.Acquire(indexes...))
	}
	for i, index := range indexes {
		if index == 0 {
			continue
		}
		only := make([]int, len(indexes))
		only[i] = index
		if err = doctor.AsMachine(d.engine.Acquire(only...)); err == nil {
			return only, nil
		}
	}
	return nil, err
}

// gone reports whether an error says that there is no interface.
func gone(err error) bool {
	return isOneOf(err, errInterfaceGone, nic.ErrNoInterface, xsk.ErrNoInterface, xsk.ErrGone)
}

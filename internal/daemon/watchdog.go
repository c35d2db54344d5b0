package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
)

const (
	// pulseInterval is the distance of two looks where no service manager asks for shorter ones.
	pulseInterval = 5 * time.Second
	// minPulse is the shortest: a worker without packets comes round every 250 ms.
	minPulse = 500 * time.Millisecond
)

// watchdog returns within what time the service manager wants to hear from this process, by
// sd_watchdog_enabled(3); 0: it does not.
func watchdog(getenv func(string) string, pid int) time.Duration {
	if of := getenv("WATCHDOG_PID"); of != "" && of != strconv.Itoa(pid) {
		return 0 // it was meant for the process that started this one
	}
	usec, err := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 32) // an hour and more
	if err != nil {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// watchPulse looks whether workers and control plane move, until ctx ends. As long as all do,
// the service manager's watchdog is fed; what does not is told, and the watchdog ends the process.
func (d *daemon) watchPulse(ctx context.Context) {
	within, every := watchdog(os.Getenv, os.Getpid()), pulseInterval
	if within > 0 {
		every = max(min(every, within/4), minPulse) // a look may come late, or take as long as that
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	p := pulse{alive: d.control.Alive, patience: every}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if e := p.look(ctx, d.engine.Beats()); e != nil {
			d.stalled(p.still)
			d.events.Record(*e)
		}
		if within > 0 && p.still == "" {
			d.tell("WATCHDOG=1")
		}
	}
}

// stalled notes who stands still.
func (d *daemon) stalled(who string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.stalled = who
}

// pulse is what has been seen of those that are to move.
type pulse struct {
	alive    func(context.Context) error // of the control plane
	patience time.Duration               // with it

	beats []uint64 // at the last look
	still string   // who stands still; empty: nobody
}

// look takes another look, and returns what is to be told of it, if anything is.
func (p *pulse) look(ctx context.Context, beats []uint64) *events.Event {
	var still []string
	for i, n := range beats {
		if i < len(p.beats) && n != 0 && n == p.beats[i] {
			still = append(still, fmt.Sprintf("worker %d", i))
		}
	}
	p.beats = beats
	bounded, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	if err := p.alive(bounded); err != nil && ctx.Err() == nil && !errors.Is(err, control.ErrStopped) {
		still = append(still, "the control plane")
	}
	before := p.still
	p.still = strings.Join(still, ", ")
	switch {
	case p.still == before:
		return nil
	case p.still == "":
		return &events.Event{Kind: events.Stalled, Severity: events.Warning, Over: true, Text: "all move again", Reason: before}
	}
	verb := " stands still"
	if len(still) > 1 {
		verb = " stand still"
	}
	return &events.Event{Kind: events.Stalled, Severity: events.Error, Text: p.still + verb, Reason: fmt.Sprintf("not once round in %v", p.patience)}
}

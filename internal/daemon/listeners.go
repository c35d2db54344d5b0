package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/listener"
)

// listeners is what is known of this machine's own servers whose ports a service has. It
// is asked for anew when somebody wants to know: nobody announces it.
type listeners struct {
	mu    sync.Mutex
	lines []string
	asked time.Time
	told  []string // in the log
}

// listenersAge is how old an answer may be: to ask takes some milliseconds where there
// are many sockets or processes.
const listenersAge = 5 * time.Second

// meetings returns a line for each service that has a port of this machine's own servers.
func (d *daemon) meetings(age time.Duration) []string {
	l := &d.listeners
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) < age {
		return l.lines
	}
	l.asked = time.Now()
	lines, err := listener.Meetings(d.control.View().Spec)
	if err != nil {
		lines = []string{"it is not known whether a service has ports of this machine's own servers: " + err.Error()}
	}
	l.lines = lines
	return lines
}

// tellMeetings tells of those that were not there when it was called last, and of those
// that are not there any more.
func (d *daemon) tellMeetings() {
	lines := d.meetings(0)
	l := &d.listeners
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range lines {
		if !slices.Contains(l.told, line) {
			d.events.Record(events.Event{Kind: events.Listener, Severity: events.Warning, Text: line})
		}
	}
	for _, line := range l.told {
		if !slices.Contains(lines, line) {
			d.events.Record(events.Event{Kind: events.Listener, Over: true, Severity: events.Info, Text: "over: " + line})
		}
	}
	l.told = lines
}

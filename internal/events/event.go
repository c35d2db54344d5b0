package events

import (
	"strings"
	"time"
)

// Severity is how much an event matters.
type Severity string

// The severities, with the names that the log's levels have.
const (
	Info    Severity = "info"  // as it should be
	Warning Severity = "warn"  // wants a look, or ends what did
	Error   Severity = "error" // the balancer itself can't do what it should
)

// Event is one change of state. Who records it leaves Seq, Time and Generation to the [Recorder].
// Fields that say nothing are empty.
//
// Outline is what whoever may read neither the log nor the control socket is told instead of Reason,
// where that has words of the config file; empty: Reason is for everybody.
type Event struct {
	Seq        uint64    `json:"seq" doc:"counts the events of one process, from 1"`
	Time       time.Time `json:"time"`
	Kind       Kind      `json:"kind" doc:"a word for all events of its kind; docs/API.md has all"`
	Over       bool      `json:"over" doc:"what an earlier event of the kind told of, about the same, is over"`
	Severity   Severity  `json:"severity" enum:"info,warn,error"`
	Service    string    `json:"service" doc:"the name of the service that it is about"`
	Backend    string    `json:"backend" doc:"the name of the backend"`
	Address    string    `json:"address" doc:"the service's or the backend's"`
	Interface  string    `json:"interface" doc:"the name of the served interface"`
	Text       string    `json:"text" doc:"what has changed"`
	Reason     string    `json:"reason" doc:"why, or the particulars"`
	Outline    string    `json:"-"`
	Generation uint64    `json:"generation" doc:"of the balancing table that was in force"`
}

// About says what the event is about, as people name it; empty: the balancer itself.
func (e *Event) About() string {
	if e.Service != "" {
		return strings.TrimSuffix(e.Service+"/"+e.Backend, "/")
	}
	return strings.TrimSpace(e.Address + " " + e.Interface)
}

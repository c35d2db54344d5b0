package api

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"time"
)

// The names of what a stream of the status may have besides, and of its messages.
const (
	withServices = "services"
	withBackends = "backends"
	withCounters = "counters"
	withEvents   = "events"
	// eventName and tickName are names of messages.
	eventName = "event"
	tickName  = "tick"
)

// Tick ends what is told in one second of a stream of the status that has lists besides.
type Tick struct {
	Time  time.Time            `json:"time"`
	Taken map[string]time.Time `json:"taken" doc:"when each list was made, by the name of its messages, also if it is the one before and so was not told again"`
}

// watching is how often at most a stream of the status has it, and what else it has.
type watching struct {
	Resume
	Rate    int      `query:"rate" minimum:"1" maximum:"5" default:"1" doc:"at most so many a second"`
	With    []string `query:"with" enum:"services,backends,counters,events" doc:"what else it has, with commas between; each is a message of its name, and each event one named event"`
	Service string   `query:"service" doc:"whose backends"`
}

// refuseWatching says what can't be watched.
func (h *handler) refuseWatching(in *watching) error {
	if slices.Contains(in.With, withBackends) != (in.Service != "") {
		return newProblem(http.StatusUnprocessableEntity, "backends are watched of one service: with=backends and service=NAME go together")
	}
	return h.known(in.Service, "")
}

// followStatus sends the status, and then each that is another, with what else is wanted. All
// who watch look at the same moments, so that what is made for one serves them all.
func (h *handler) followStatus(in *watching, s *stream) {
	var status []byte
	var second time.Time
	sent := map[string][]byte{}
	happened := h.newCursor(&in.Resume)
	for {
		if now := h.current.json(h.status); !bytes.Equal(now, status) {
			s.sendText("", now)
			status = now
		}
		if slices.Contains(in.With, withEvents) {
			happened.tell(s, eventName, time.Time{})
		}
		now := time.Now()
		if this := now.Truncate(time.Second); len(in.With) > 0 && !this.Equal(second) {
			h.sendLists(in, s, this, sent)
			second = this
		}
		each := time.Second / time.Duration(in.Rate)
		next := time.NewTimer(now.Truncate(each).Add(each).Sub(now))
		ok := await(s, next.C)
		next.Stop()
		if !ok {
			return
		}
	}
}

// sendLists sends the lists of this second that are others than those sent, and then a tick.
func (h *handler) sendLists(in *watching, s *stream, second time.Time, sent map[string][]byte) {
	tick := Tick{Time: time.Now(), Taken: map[string]time.Time{}}
	for _, name := range in.With {
		if name == withEvents {
			continue
		}
		l := h.lists.of(second, listKey{name, h.serviceOf(in, name)}, h.makeList)
		if !bytes.Equal(l.text, sent[name]) {
			s.sendText(name, l.text)
			sent[name] = l.text
		}
		tick.Taken[name] = l.at
	}
	s.send("", tickName, tick)
}

// serviceOf is of which service a list is that a stream has; empty: of none.
func (h *handler) serviceOf(in *watching, name string) string {
	if name == withBackends {
		return in.Service
	}
	return ""
}

// makeList makes one.
func (h *handler) makeList(k listKey) any {
	switch k.name {
	case withServices:
		return h.source.Services()
	case withBackends:
		return orEmpty(slices.Collect(h.source.Backends(k.service)))
	case withCounters:
		return h.source.Counters()
	}
	panic(errors.New("no list is named " + k.name)) // the enum of watching has it
}

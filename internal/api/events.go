package api

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/afxlb/afxlb/internal/events"
)

// Event is one change of state.
type Event = events.Event

// Gap says that there were events which a stream does not have.
type Gap struct {
	Missed uint64 `json:"missed" doc:"how many; 0: that is not known, since they were of another process"`
}

// gapName is the name of a message of a stream that is a [Gap].
const gapName = "gap"

// Resume is where a client of a stream goes on. It is exported for the sake of the library,
// which reads the fields.
type Resume struct {
	After       string `query:"after" doc:"only events after the one with this ID, as Last-Event-ID"`
	LastEventID string `header:"Last-Event-ID" doc:"the ID of the last message that the client has"`
}

// eventFilter selects events.
type eventFilter struct {
	Resume
	Since time.Time `query:"since" doc:"only those that happened at this time or later"`
}

// cursor is how far a client has been told of events.
type cursor struct {
	*events.Recorder
	seq uint64 // the number of the last event that is not wanted
	// resumed says that the client had some before: it is to know of what it misses. known
	// is false if these were another process's.
	resumed, known bool
	outlined       bool // as of handler
}

func (h *handler) newCursor(f *Resume) cursor {
	r := h.source.Events()
	c := cursor{Recorder: r, known: true, outlined: h.outlined}
	if id := cmp.Or(f.LastEventID, f.After); id != "" {
		c.resumed = true
		if c.seq, c.known = r.Number(id); !c.known {
			c.seq = 0
		}
	}
	return c
}

// tell sends the events that the client has not been told of, in messages of a name, but for
// those before a time. The channel is closed when there are more.
func (c *cursor) tell(s *stream, name string, since time.Time) (more <-chan struct{}) {
	if !c.known {
		s.send("", gapName, Gap{})
	}
	list, missed, more := c.next()
	if missed > 0 && c.resumed && c.known {
		s.send("", gapName, Gap{missed})
	}
	for i := range list {
		if e := &list[i]; !e.Time.Before(since) {
			s.send(c.ID(e.Seq), name, e)
		}
		c.seq = list[i].Seq
	}
	c.resumed, c.known = true, true
	return more
}

// next returns the events that the client has not been told of, as they are for it.
func (c *cursor) next() (list []Event, missed uint64, more <-chan struct{}) {
	list, missed, more = c.After(c.seq)
	if c.outlined {
		for i := range list {
			list[i].Reason = cmp.Or(list[i].Outline, list[i].Reason)
		}
	}
	return list, missed, more
}

// followEvents sends all events that are wanted, and then each as it comes.
func (h *handler) followEvents(f *eventFilter, s *stream) {
	c := h.newCursor(&f.Resume)
	for {
		if !await(s, c.tell(s, "", f.Since)) {
			return
		}
	}
}

// listEvents answers with the events that are kept and wanted.
func (h *handler) listEvents(f *eventFilter, w http.ResponseWriter) {
	c := h.newCursor(&f.Resume)
	list, _, _ := c.next()
	list = slices.DeleteFunc(list, func(e Event) bool { return e.Time.Before(f.Since) })
	answerList(w, nil, slices.Values(list))
}

package api

import (
	"bytes"
	"cmp"
	"encoding/json"
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

// eventFilter selects events.
type eventFilter struct {
	Since       time.Time `query:"since" doc:"only those that happened at this time or later"`
	After       string    `query:"after" doc:"only those after the one with this ID, as Last-Event-ID"`
	LastEventID string    `header:"Last-Event-ID" doc:"the ID of the last message that the client has"`
}

// begin returns the number of the last event that is not wanted, and whether the client
// had any before: it is to know of what it misses then.
func (f *eventFilter) begin(r *events.Recorder) (seq uint64, resumed, known bool) {
	id := cmp.Or(f.LastEventID, f.After)
	if id == "" {
		return 0, false, true
	}
	seq, known = r.Number(id)
	if !known {
		seq = 0
	}
	return seq, true, known
}

// followEvents sends all events that are wanted, and then each as it comes.
func (h *handler) followEvents(f *eventFilter, s *stream) {
	r := h.source.Events()
	seq, resumed, known := f.begin(r)
	if !known {
		s.send("", gapName, Gap{})
	}
	for {
		list, missed, more := r.After(seq)
		if missed > 0 && resumed && known {
			s.send("", gapName, Gap{missed})
		}
		for i := range list {
			if e := &list[i]; !e.Time.Before(f.Since) {
				s.send(r.ID(e.Seq), "", e)
			}
			seq = list[i].Seq
		}
		resumed, known = true, true
		if !await(s, more) {
			return
		}
	}
}

// listEvents answers with the events that are kept and wanted.
func (h *handler) listEvents(f *eventFilter, w http.ResponseWriter) {
	r := h.source.Events()
	seq, _, _ := f.begin(r)
	list, _, _ := r.After(seq)
	list = slices.DeleteFunc(list, func(e Event) bool { return e.Time.Before(f.Since) })
	answerList(w, nil, slices.Values(list))
}

// watchRate is how often at most a stream of the status has it.
type watchRate struct {
	Rate int `query:"rate" minimum:"1" maximum:"5" default:"1" doc:"at most so many a second"`
}

// followStatus sends the status, and then each that is another.
func (h *handler) followStatus(in *watchRate, s *stream) {
	tick := time.NewTicker(time.Second / time.Duration(in.Rate))
	defer tick.Stop()
	var last []byte
	for {
		if now := h.current.json(h.status); !bytes.Equal(now, last) {
			s.send("", "", json.RawMessage(now))
			last = now
		}
		if !await(s, tick.C) {
			return
		}
	}
}

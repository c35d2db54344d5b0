package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"
)

const (
	// streamShare of the connections may be streams: a quarter. The others are for
	// questions.
	streamShare = 4
	// heartbeat is how long a stream is silent at most: whoever reads it can tell that
	// there is nothing new from that there is nobody any more.
	heartbeat = 5 * time.Second
)

// streams bounds how many there are, and ends them.
type streams struct {
	places chan struct{}
	end    chan struct{} // closed when the serving ends
}

// newStreams is for a server of so many clients.
func newStreams(clients int) *streams {
	return &streams{make(chan struct{}, max(clients/streamShare, 1)), make(chan struct{})}
}

// enter takes a place for an answer that lasts; if there is none, that is the answer.
func (s *streams) enter(w http.ResponseWriter) bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
		refuse(w, newProblem(http.StatusServiceUnavailable, "there are "+strconv.Itoa(cap(s.places))+" streams already; ask again later"))
		return false
	}
}

func (s *streams) leave() { <-s.places }

// stream is an answer that lasts: server-sent events, as of the HTML standard, section
// 9.2. A client that does not read is cut off, after writeTimeout.
type stream struct {
	w    http.ResponseWriter
	r    *http.Request
	end  <-chan struct{}
	json *json.Encoder
	bytes.Buffer
}

// serve has follow write a stream, if there is a place for one.
func (s *streams) serve(w http.ResponseWriter, r *http.Request, follow func(*stream)) {
	if !s.enter(w) {
		return
	}
	defer s.leave()
	// The server reads on, to see the client leave; only a test's recorder has no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", streamType)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead { // that is all of it
		return
	}
	out := &stream{w: w, r: r, end: s.end}
	out.json = json.NewEncoder(&out.Buffer)
	out.json.SetEscapeHTML(false)
	follow(out)
}

// send sends one message. An empty id or name is left out. It panics as end of answerer
// does if the client is away.
func (s *stream) send(id, name string, data any) {
	if id != "" {
		s.WriteString("id: " + id + "\n")
	}
	s.begin(name)
	if err := s.json.Encode(data); err != nil { // a line and its end
		panic(err)
	}
	s.finish()
}

// sendText is send of data that is a line of JSON already, and may be long.
func (s *stream) sendText(name string, line []byte) {
	s.begin(name)
	for chunk := range slices.Chunk(line, chunkSize) {
		s.Write(chunk)
		if s.Len() >= chunkSize {
			s.flush()
		}
	}
	s.WriteString("\n")
	s.finish()
}

func (s *stream) begin(name string) {
	if name != "" {
		s.WriteString("event: " + name + "\n")
	}
	s.WriteString("data: ")
}

func (s *stream) finish() {
	s.WriteString("\n")
	if s.Len() >= chunkSize {
		s.flush()
	}
}

// flush has what was sent on its way.
func (s *stream) flush() {
	renewDeadline(s.w)
	_, err := s.w.Write(s.Bytes())
	s.Reset()
	if err == nil {
		err = http.NewResponseController(s.w).Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// await flushes, and waits until something is due, with a sign of life now and then. It
// reports false when the stream is to end.
func await[T any](s *stream, due <-chan T) bool {
	s.flush()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-due:
			return true
		case <-s.r.Context().Done(): // the client went away
			return false
		case <-s.end:
			return false
		case <-beat.C:
			s.WriteString(":\n\n") // a comment
			s.flush()
		}
	}
}

// lasting adds an endpoint that answers with a stream, of messages whose data is an O, unless
// check has a reason against it. If there is a list, that is the answer for whoever wants JSON.
func lasting[I, O any](h *handler, path, summary, description string, check func(*I) error, follow func(*I, *stream), list func(*I, http.ResponseWriter)) {
	op := operation[[]O](h, http.MethodGet, path, summary)
	op.Description = description
	content := op.Responses["200"].Content
	if list == nil {
		delete(content, "application/json")
	}
	content[streamType] = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeString, Description: "server-sent events; the data of each is " + schema[O](h).Ref,
	}}
	checked := func(_ context.Context, in *I) (*I, error) { return in, check(in) }
	register(h, op, checked, func(w http.ResponseWriter, r *http.Request, in *I) {
		if list != nil && wantsJSON(r.Header.Get("Accept")) {
			list(in, w)
			return
		}
		h.streams.serve(w, r, func(s *stream) { follow(in, s) })
	})
}

const streamType = "text/event-stream"

// wantsJSON reports whether an Accept header prefers JSON to a stream.
func wantsJSON(accept string) bool {
	const jsonType = "application/json"
	return negotiation.SelectQValue(strings.ToLower(accept), []string{streamType, jsonType}) == jsonType
}

package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/afxlb/afxlb/internal/events"
)

// telling is a Source with events of its own, and a status that changes.
type telling struct {
	fixed
	events *events.Recorder
	now    atomic.Uint64
	asked  atomic.Int32
}

func newTelling(n int) *telling {
	s := &telling{events: events.NewRecorder(nop)}
	s.tell(n)
	return s
}

func (s *telling) Events() *events.Recorder { return s.events }

func (s *telling) Status() Status {
	s.asked.Add(1)
	st := s.fixed.Status()
	st.Generation = s.now.Load()
	return st
}

func (s *telling) tell(n int) {
	for range n {
		s.events.Record(Event{Kind: events.Link, Severity: events.Info, Text: "told"})
	}
}

// take returns the numbers of the next n messages; a gap is -1 less what was missed.
func take(t *testing.T, next func() (Told, error, bool), n int) (list []int) {
	t.Helper()
	for range n {
		m, err, ok := next()
		if err != nil || !ok {
			t.Fatalf("after %v: %v", list, err)
		}
		if m.Gap != nil {
			list = append(list, -1-int(m.Gap.Missed))
		} else {
			list = append(list, int(m.Event.Seq))
		}
	}
	return list
}

// A client gets what is kept, and then each as it comes; one that comes again goes on
// where it was, and is told of what it misses.
func TestFollowEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTelling(2)
		p, stop := servePipes(t, src)
		defer stop()
		next, end := iter.Pull2(p.client().Follow(t.Context(), time.Time{}, ""))
		if got := take(t, next, 2); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("at first %v", got)
		}
		time.AfterFunc(3*maxSilence, func() { src.tell(1) }) // meanwhile there are signs of life
		last, err, _ := next()
		if err != nil || last.Event.Seq != 3 || last.ID != src.events.ID(3) {
			t.Errorf("then %+v, %v", last, err)
		}
		end()
		src.tell(2)
		for name, c := range map[string]struct {
			since time.Time
			after string
			tell  int
			want  []int
		}{
			"where it was":         {after: last.ID, want: []int{4, 5}},
			"another process's":    {after: "x-3", want: []int{-1, 1, 2, 3, 4, 5}},
			"from a time on":       {since: last.Event.Time, want: []int{3, 4, 5}},
			"from a time on, none": {since: time.Now().Add(time.Second), want: nil},
		} {
			next, end := iter.Pull2(p.client().Follow(t.Context(), c.since, c.after))
			if got := take(t, next, len(c.want)); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			end()
		}
		src.tell(events.Kept)
		next, end = iter.Pull2(p.client().Follow(t.Context(), time.Time{}, last.ID))
		if got := take(t, next, 2); !slices.Equal(got, []int{-1 - 2, 6}) {
			t.Errorf("after a long pause: %v", got)
		}
		end()
	})
}

// One that does not read is cut off, and holds no more than a chunk; one that reads slowly
// is told what it misses.
func TestSlowReadersOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTelling(events.Kept)
		p, stop := servePipes(t, src)
		defer stop()
		question(t, p.dial(), "/v1/events")
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if n := p.open.Load(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
	src := newTelling(1)
	ctx, cancel := context.WithCancel(t.Context())
	w := &late{ResponseRecorder: httptest.NewRecorder(), more: func() { src.tell(events.Kept + 5) }}
	w.done = func() bool { return strings.Contains(w.Body.String(), fmt.Sprintf(`"seq":%d,`, events.Kept+6)) }
	w.cancel = cancel
	handlerOf(src, anybody).ServeHTTP(w, httptest.NewRequest("GET", "/v1/events", nil).WithContext(ctx))
	if got := w.Body.String(); !strings.Contains(got, "event: gap\ndata: {\"missed\":5}\n\n") || strings.Count(got, "data: {\"seq\"") != events.Kept+1 {
		t.Errorf("%d messages, %.300s", strings.Count(got, "data: "), got)
	}
}

// late is a client to whom more happens while it takes its first part.
type late struct {
	*httptest.ResponseRecorder
	more   func()
	done   func() bool
	cancel func()
}

func (l *late) Write(b []byte) (int, error) {
	n, err := l.ResponseRecorder.Write(b)
	if l.more != nil {
		l.more()
		l.more = nil
	}
	if l.done() {
		l.cancel()
	}
	return n, err
}

// Streams have a share of the connections, whoever leaves makes room, and the end of the
// serving ends them.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, newTelling(1))
		const most = maxConns / streamShare
		var conns []net.Conn
		open := func() *http.Response {
			c := p.dial()
			conns = append(conns, c)
			question(t, c, []string{"/v1/events", "/v1/watch"}[len(conns)%2])
			return response(t, c)
		}
		for range most {
			if res := open(); res.StatusCode != 200 || res.Header.Get("Content-Type") != streamType {
				t.Fatal(res.Status, res.Header)
			}
		}
		if res := open(); res.StatusCode != 503 || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("one too many: %s", res.Status)
		}
		if _, err := p.client().Status(t.Context()); err != nil {
			t.Errorf("a question beside them: %v", err)
		}
		conns[0].Close()
		synctest.Wait()
		if res := open(); res.StatusCode != 200 {
			t.Errorf("after one has left: %s", res.Status)
		}
		for _, c := range conns[1:] {
			go discard(c)
		}
		start := time.Now()
		stop()
		if took := time.Since(start); took >= time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}

// The end of a balancer is told of.
func TestFollowToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, newTelling(1))
		next, end := iter.Pull2(p.client().Follow(t.Context(), time.Time{}, ""))
		defer end()
		take(t, next, 1)
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		if _, err, _ := next(); !errors.Is(err, ErrEnded) || strings.Contains(err.Error(), "EOF") {
			t.Errorf("%v", err)
		}
		<-stopped
		if _, _, ok := next(); ok {
			t.Error("it goes on after the end")
		}
	})
}

// Who watches gets the status at once, and then only when it is another, no more often
// than asked for; many who watch cost no more than one.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTelling(0)
		p, stop := servePipes(t, src)
		defer stop()
		next, end := iter.Pull2(p.client().Watch(t.Context(), 5))
		defer end()
		start := time.Now()
		want := src.fixed.Status()
		if s, err, _ := next(); err != nil || s.Generation != 0 || s.State != want.State || !time.Now().Equal(start) {
			t.Fatalf("%+v, %v after %v", s, err, time.Since(start))
		}
		for range 9 {
			n, e := iter.Pull2(p.client().Watch(t.Context(), 5))
			defer e()
			if _, err, _ := n(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		src.now.Store(1)
		src.now.Store(2)
		if s, err, _ := next(); err != nil || s.Generation != 2 {
			t.Errorf("%d, %v", s.Generation, err)
		}
		if most, n := int32(time.Since(start)/currentAge)+2, src.asked.Load(); n > most {
			t.Errorf("the status was made %d times, want %d at most", n, most)
		}
	})
}

// Each message is as the document says, and so is the list.
func TestStreamsAreAsDocumented(t *testing.T) {
	f := readDocument(t)
	src := newTelling(2)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // after the first of what there is
	for url, schemas := range map[string][]string{"/v1/events": {"Event", "Event"}, "/v1/events?after=x-1": {"Gap", "Event", "Event"}, "/v1/watch": {"Status"}} {
		path, _, _ := strings.Cut(url, "?")
		r := httptest.NewRecorder()
		handlerOf(src, anybody).ServeHTTP(r, httptest.NewRequest("GET", url, nil).WithContext(ended))
		if kind := r.Header().Get("Content-Type"); f.Paths[path]["get"].Responses["200"].Content[kind] == nil {
			t.Errorf("%s is answered with %s", url, kind)
		}
		body := bufio.NewReader(r.Body)
		for _, name := range schemas {
			m, err := next(body)
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			schema, err := f.schemas.Compile("openapi.json#/components/schemas/" + name)
			if err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.data))
			if err == nil {
				err = schema.Validate(v)
			}
			if err != nil || (m.name == gapName) != (name == "Gap") {
				t.Errorf("%s: %q %s: %v", url, m.name, m.data, err)
			}
		}
		if m, err := next(body); err == nil {
			t.Errorf("%s: one more: %s", url, m.data)
		}
	}
}

func TestListOfEvents(t *testing.T) {
	src := newTelling(3)
	c := serve(t, src)
	all, err := c.Events(t.Context(), time.Time{})
	if err != nil || len(all) != 3 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	if late, err := c.Events(t.Context(), all[1].Time); err != nil || len(late) != 2 || late[0] != all[1] {
		t.Errorf("%+v, %v", late, err)
	}
	for accept, want := range map[string]string{
		"": streamType, "*/*": streamType, "application/json": "application/json", "Application/JSON": "application/json",
		streamType + ", application/json": streamType, streamType + ";q=0.1, application/json": "application/json",
		"application/json;q=0.5, " + streamType + ";q=0.6": streamType, "application/json;q=0": streamType,
	} {
		r, ended := httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/events", nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended.Header.Set("Accept", accept)
		handlerOf(src, anybody).ServeHTTP(r, ended.WithContext(ctx))
		if got := r.Header().Get("Content-Type"); got != want {
			t.Errorf("who accepts %q gets %s, want %s", accept, got, want)
		}
	}
}

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// busy is a telling Source whose services change too, and that counts how often it is asked.
type busy struct {
	*telling
	services, backends, counters atomic.Int32
	live                         atomic.Int64
}

func (b *busy) Services() []Service {
	b.services.Add(1)
	return []Service{{Name: "web", Live: b.live.Load(), Announce: "arp", Announced: true}}
}

func (b *busy) Backends(service string) iter.Seq[Backend] {
	b.backends.Add(1)
	return slices.Values([]Backend{{Service: service, Name: "a", State: "up"}})
}

func (b *busy) Counters() []Counter {
	b.counters.Add(1)
	return b.fixed.Counters()
}

// watchWith reads a stream with what else it has, until end is called.
func watchWith(t *testing.T, p *pipes, query string) (take func() message, end func() error) {
	c := p.dial()
	question(t, c, "/v1/watch?"+query)
	res := response(t, c)
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	r := bufio.NewReader(res.Body)
	return func() message {
		t.Helper()
		m, err := next(r)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}, c.Close
}

// A list is told at first, and then whenever it is another, once a second at most; a tick
// each second says when each was made.
func TestWatchLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &busy{telling: newTelling(2)}
		p, stop := servePipes(t, src)
		defer stop()
		time.Sleep(300 * time.Millisecond)
		next, end := watchWith(t, p, "rate=5&with=services,backends,counters,events&service=web")
		defer end()
		var names []string
		for range 7 {
			m := next()
			names = append(names, m.name)
			if m.name == withBackends && !strings.HasPrefix(string(m.data), `[{"service":"web",`) {
				t.Errorf("backends: %s", m.data)
			}
			if m.name == eventName && !strings.HasSuffix(m.id, fmt.Sprint("-", len(names)-1)) {
				t.Errorf("event %q", m.id)
			}
		}
		if want := []string{"", "event", "event", "services", "backends", "counters", "tick"}; !slices.Equal(names, want) {
			t.Fatalf("at first %q, want %q", names, want)
		}
		for i := range 3 {
			src.live.Store(int64(i / 2)) // another in the third second
			src.live.Add(1)
			names = nil
			var tick Tick
			for tick.Time.IsZero() {
				m := next()
				if m.name == withServices {
					names = append(names, m.name)
				}
				if m.name == tickName {
					if err := json.Unmarshal(m.data, &tick); err != nil {
						t.Fatal(err)
					}
				}
			}
			if ms := tick.Time.Nanosecond() / 1e6; ms != 0 || len(tick.Taken) != 3 || !tick.Taken[withServices].Equal(tick.Time) {
				t.Errorf("second %d: %+v", i, tick)
			}
			if told := len(names); told != []int{1, 0, 1}[i] {
				t.Errorf("second %d: services were told %d times", i, told)
			}
		}
	})
}

// Many who watch have each list made once a second.
func TestWatchersShareLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &busy{telling: newTelling(0)}
		p, stop := servePipes(t, src)
		defer stop()
		var watching sync.WaitGroup
		for i := range 9 {
			time.Sleep(10 * time.Millisecond)
			next, end := watchWith(t, p, "with=services,backends,counters&rate="+fmt.Sprint(i%5+1)+"&service=web")
			watching.Go(func() {
				defer end()
				for ticks := 0; ticks < 10; {
					if next().name == tickName {
						ticks++
					}
				}
			})
		}
		watching.Wait()
		for name, n := range map[string]int32{"services": src.services.Load() - 9 /* known, at the start */, "backends": src.backends.Load(), "counters": src.counters.Load()} {
			if n > 11 {
				t.Errorf("%s were made %d times in ten seconds", name, n)
			}
		}
	})
}

// Who comes again goes on where it was, as with the events alone.
func TestWatchResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &busy{telling: newTelling(3)}
		p, stop := servePipes(t, src)
		defer stop()
		next, end := watchWith(t, p, "with=events&after="+src.events.ID(2))
		defer end()
		next() // the status
		if m := next(); m.name != eventName || m.id != src.events.ID(3) {
			t.Errorf("%q %q", m.name, m.id)
		}
		next, endOther := watchWith(t, p, "with=events&after=other-7")
		defer endOther()
		next()
		if m := next(); m.name != gapName {
			t.Errorf("%q %q", m.name, m.id)
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"with=flows": "expected value to be one of", "with=backends": "go together", "service=web": "go together",
		"with=backends&service=none": `there is no service \"none\"`, "rate=9": "expected number",
	} {
		r := httptest.NewRecorder()
		handlerOf(fixed{}, anybody).ServeHTTP(r, httptest.NewRequest("GET", "/v1/watch?"+query, nil))
		if r.Code < 400 || !strings.Contains(r.Body.String(), want) {
			t.Errorf("%s: %d %s", query, r.Code, r.Body)
		}
	}
}

// Who asks for the head alone gets it, and keeps no place.
func TestHeadOfAStream(t *testing.T) {
	for _, path := range []string{"/v1/watch", "/v1/events"} {
		r := httptest.NewRecorder()
		handlerOf(fixed{}, anybody).ServeHTTP(r, httptest.NewRequest("HEAD", path, nil))
		if r.Code != 200 || r.Header().Get("Content-Type") != streamType || r.Body.Len() > 0 {
			t.Errorf("%s: %d, %v, %d bytes", path, r.Code, r.Header(), r.Body.Len())
		}
	}
}

// What the messages have is as the document says, with a large installation's lists too.
func TestWatchIsAsDocumented(t *testing.T) {
	f := readDocument(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	large := newLarge(20_000)
	r := httptest.NewRecorder()
	handlerOf(large, anybody).ServeHTTP(r, httptest.NewRequest("GET", "/v1/watch?with=services,backends,counters,events&service=web", nil).WithContext(ended))
	schemas := map[string]string{
		"": "schemas/Status", eventName: "schemas/Event", tickName: "schemas/Tick",
		withServices: "/v1/services", withBackends: "/v1/backends", withCounters: "/v1/counters",
	}
	body := bufio.NewReader(r.Body)
	for range 7 {
		m, err := next(body)
		if err != nil {
			t.Fatal(err)
		}
		at := "openapi.json#/components/" + schemas[m.name]
		if path := schemas[m.name]; path[0] == '/' {
			at = "openapi.json#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/get/responses/200/content/application~1json/schema"
		}
		schema, err := f.schemas.Compile(at)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.data))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			t.Errorf("%q: %v", m.name, err)
		}
	}
}

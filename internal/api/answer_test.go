package api

import (
	"encoding/json"
	"io"
	"iter"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswers(t *testing.T) {
	type small struct {
		A string
		B []int
	}
	for _, c := range []struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		{func(w http.ResponseWriter) { answer(w, nil, small{"<a>", []int{1}}) }, "{\n  \"A\": \"<a>\",\n  \"B\": [\n    1\n  ]\n}\n"},
		{func(w http.ResponseWriter) { answerList(w, nil, slices.Values([]small(nil))) }, "[]\n"},
		{func(w http.ResponseWriter) { answerList(w, nil, slices.Values([]small{{"a", nil}})) }, "[\n  {\"A\":\"a\",\"B\":null}\n]\n"},
		{func(w http.ResponseWriter) { answerList(w, nil, slices.Values([]string{"a\n", "<b>"})) }, "[\n  \"a\\n\",\n  \"<b>\"\n]\n"},
	} {
		r := httptest.NewRecorder()
		c.answer(r)
		if got := r.Body.String(); got != c.want || !json.Valid(r.Body.Bytes()) {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if got := r.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("content type %q", got)
		}
	}
}

// Chunks begin and end anywhere in the list.
func TestLongListIsWhole(t *testing.T) {
	want := make([]string, 3*chunkSize/10)
	for i := range want {
		want[i] = "0123456789"[:i%11]
	}
	r := httptest.NewRecorder()
	answerList(r, nil, slices.Values(want))
	var got []string
	if err := json.Unmarshal(r.Body.Bytes(), &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d elements of %d, %v", len(got), len(want), err)
	}
}

// What has no JSON must not be left out in silence.
func TestNotJSON(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	answer(httptest.NewRecorder(), nil, math.NaN())
}

// endless is a Source with as many flows as are taken.
type endless struct {
	fixed
	taken atomic.Int64
	ended atomic.Bool
}

func (e *endless) Flows(FlowFilter) iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		defer e.ended.Store(true)
		for yield(Flow{Protocol: "tcp", Service: "web"}) {
			e.taken.Add(1)
		}
	}
}

// A client that asks for a million flows and doesn't read has a chunk of them encoded,
// and is cut off.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &endless{}
		p, stop := servePipes(t, src)
		defer stop()
		c := p.dial()
		question(t, c, "/v1/flows?limit=1000000")
		synctest.Wait()
		one, _ := json.Marshal(Flow{Protocol: "tcp", Service: "web"})
		if n := src.taken.Load(); n < 10 || n*int64(len(one)) > chunkSize {
			t.Errorf("%d flows of %d bytes are encoded, want a chunk of %d", n, len(one), chunkSize)
		}
		time.Sleep(writeTimeout - time.Millisecond)
		synctest.Wait()
		if src.ended.Load() {
			t.Error("cut off too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if !src.ended.Load() || p.open.Load() != 0 {
			t.Error("not cut off")
		}
	})
}

// slow is a connection that reads n bytes at a time at most, and rests before.
type slow struct {
	net.Conn
	n    int
	rest time.Duration
}

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(s.rest)
	return s.Conn.Read(b[:min(len(b), s.n)])
}

// One that reads slowly gets all of it, however long that takes.
func TestClientThatReadsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p, stop := servePipes(t, &endless{})
		defer stop()
		c := p.dial()
		question(t, c, "/v1/flows?limit=5000")
		var list []Flow
		res := response(t, slow{c, chunkSize / 4, writeTimeout / 8})
		b, err := io.ReadAll(res.Body)
		if err == nil {
			err = json.Unmarshal(b, &list)
		}
		if err != nil || len(list) != 5000 {
			t.Errorf("%d flows, %v", len(list), err)
		}
		if took := time.Since(start); took < 2*writeTimeout {
			t.Errorf("all was read within %v: that was not slow", took)
		}
	})
}

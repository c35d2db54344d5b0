package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrEnded says that the balancer has ended, and a stream with it, after all that it had to tell.
// One that was killed cuts a stream off instead.
var ErrEnded = errors.New("the balancer has ended")

// Told is one message of a stream of events: an event, or a gap.
type Told struct {
	ID    string // to go on from later; empty: of a gap
	Event Event
	Gap   *Gap
}

// Follow yields the events that are kept, from a time on, and then each as it comes; after
// is the [Told.ID] of the last one that the caller has, or empty. It ends with an error,
// unless the caller breaks off.
func (c *Client) Follow(ctx context.Context, since time.Time, after string) iter.Seq2[Told, error] {
	q := url.Values{"since": {timeText(since)}, "after": {after}}
	return follow(ctx, c, "/v1/events", q, func(m message) (t Told, err error) {
		t.ID = m.id
		if m.name == gapName {
			t.Gap = new(Gap)
			return t, json.Unmarshal(m.data, t.Gap)
		}
		return t, json.Unmarshal(m.data, &t.Event)
	})
}

// Watch yields the status, and then whenever it is another, so many times a second at
// most. It ends with an error, unless the caller breaks off.
func (c *Client) Watch(ctx context.Context, rate int) iter.Seq2[Status, error] {
	q := url.Values{"rate": {strconv.Itoa(rate)}}
	return follow(ctx, c, "/v1/watch", q, func(m message) (s Status, err error) { return s, json.Unmarshal(m.data, &s) })
}

// timeText is a time as a parameter; none is empty.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// message is one of a stream.
type message struct {
	id, name string
	data     []byte
}

// follow yields what read makes of each message of a stream.
func follow[T any](ctx context.Context, c *Client, path string, q url.Values, read func(message) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		body, err := c.open(ctx, http.MethodGet, path, q, nil, streamType, c.silence)
		if err != nil {
			yield(none, err)
			return
		}
		defer body.Close()
		for r := bufio.NewReader(body); ; {
			m, err := next(r)
			if errors.Is(err, io.EOF) {
				yield(none, fmt.Errorf("follow %s: %w", path, ErrEnded))
				return
			}
			var v T
			if err == nil {
				v, err = read(m)
			}
			if err != nil {
				yield(none, cutOff(path, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// next reads a stream to the end of its next message, as the balancer writes it: a line of
// data each.
func next(r *bufio.Reader) (m message, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return m, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.name = value
		case "data":
			m.data = []byte(value)
		case "":
			if m.data != nil {
				return m, nil
			}
			m = message{} // a comment, or the blank line after it
		}
	}
}

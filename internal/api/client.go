package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSilence is how long the client waits for the next bytes of an answer.
	maxSilence = 10 * time.Second
	// reloadTime is how long it waits for the first ones of a reload's.
	reloadTime = time.Minute
)

// Client reads a running balancer through its control socket, and has it reload.
type Client struct {
	path    string
	http    *http.Client
	silence time.Duration
	raw     *bytes.Buffer // nil: decode
}

// ErrNotFound says that the balancer has no service or backend of the name that was asked for.
var ErrNotFound = errors.New("404 Not Found")

// NewClient returns a client of the balancer whose control socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return newClient(path, dial)
}

func newClient(path string, dial func(ctx context.Context, _, _ string) (net.Conn, error)) *Client {
	h := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return &Client{path: path, http: h, silence: maxSilence}
}

// Raw returns a client that appends the bytes of answers to into instead of decoding
// them: its methods return zero values. After an error they may not be all.
func (c *Client) Raw(into *bytes.Buffer) *Client {
	raw := *c
	raw.raw = into
	return &raw
}

// Status asks for the balancer at a glance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Services asks for all services.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return get[[]Service](ctx, c, "/v1/services", nil)
}

// Backends asks for the backends of one service, or of all.
func (c *Client) Backends(ctx context.Context, service string) ([]Backend, error) {
	return get[[]Backend](ctx, c, "/v1/backends", url.Values{"service": {service}})
}

// Flows asks for the flows that f selects.
func (c *Client) Flows(ctx context.Context, f FlowFilter) ([]Flow, error) {
	q := url.Values{"service": {f.Service}, "backend": {f.Backend}, "client": {f.Client}}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[[]Flow](ctx, c, "/v1/flows", q)
}

// Counters asks for all counters.
func (c *Client) Counters(ctx context.Context) ([]Counter, error) {
	return get[[]Counter](ctx, c, "/v1/counters", nil)
}

// Events asks for the events that are kept, from a time on.
func (c *Client) Events(ctx context.Context, since time.Time) ([]Event, error) {
	return get[[]Event](ctx, c, "/v1/events", url.Values{"since": {timeText(since)}})
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	return ask[T](ctx, c, http.MethodGet, path, q, c.silence)
}

// ask sends one request and takes in its answer, which begins within the time of
// patience. It may last: only a silence within ends it.
func ask[T any](ctx context.Context, c *Client, method, path string, q url.Values, patience time.Duration) (into T, err error) {
	body, err := c.open(ctx, method, path, q, nil, "application/json", patience)
	if err != nil {
		return into, err
	}
	return receive[T](c, path, body)
}

// send is ask by POST, with a body.
func send[T any](ctx context.Context, c *Client, path string, q url.Values, what *content, patience time.Duration) (into T, err error) {
	body, err := c.open(ctx, http.MethodPost, path, q, what, "application/json", patience)
	if err != nil {
		return into, err
	}
	return receive[T](c, path, body)
}

// content is the body of a request.
type content struct {
	kind string // its media type
	data []byte
}

// receive takes in an answer.
func receive[T any](c *Client, path string, body io.ReadCloser) (into T, err error) {
	defer body.Close()
	if c.raw != nil {
		_, err = c.raw.ReadFrom(body)
	} else {
		err = json.NewDecoder(body).Decode(&into)
	}
	return into, cutOff(path, err)
}

// cutOff says of which answer there is no more, and why.
func cutOff(path string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read the answer to %s: it was cut off: %w", path, err)
	case err != nil:
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// open sends one request and returns the body of its answer, for the caller to close.
func (c *Client) open(ctx context.Context, method, path string, q url.Values, what *content, accept string, patience time.Duration) (_ io.ReadCloser, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	patient := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no answer for %v", patience)) })
	end := func() {
		patient.Stop()
		cancel(nil)
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	for name, values := range q {
		if values[0] == "" {
			delete(q, name) // of all of them
		}
	}
	u := url.URL{Scheme: "http", Host: "afxlb", Path: path, RawQuery: q.Encode()}
	var upload io.Reader
	if what != nil {
		upload = bytes.NewReader(what.data)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), upload)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	if what != nil {
		req.Header.Set("Content-Type", what.kind)
	}
	req.Header.Set("Accept", accept)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(err)
	}
	body := &renewing{res.Body, patient, c.silence, end}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, refusal(path, res, body)
	}
	return body, nil
}

// unanswered says why there is no answer, and what may help.
func (c *Client) unanswered(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, which is ours alone
	}
	hint := ""
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		hint = " (is it running?)"
	case errors.Is(err, os.ErrPermission):
		hint = " (the socket is for its owner and group)"
	}
	return fmt.Errorf("ask the balancer at %s: %w%s", c.path, err, hint)
}

// refusal is what the balancer says instead of an answer.
func refusal(path string, res *http.Response, body io.Reader) error {
	b, _ := io.ReadAll(io.LimitReader(body, 1<<20)) // of a cut one, what there is
	said := strings.TrimSpace(string(b))            // Go's server itself has but a line
	var p Problem
	if json.Unmarshal(b, &p) == nil {
		said = text(&p)
	}
	switch p.Type {
	case ProblemConfig:
		return ConfigError{errors.New(said)}
	case ProblemMachine:
		return MachineError{errors.New(said)}
	}
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("ask for %s: %w: %s", path, ErrNotFound, said)
	}
	return fmt.Errorf("ask for %s: %s: %s", path, res.Status, said)
}

// renewing is a body with new patience for each part of it that is waited for.
type renewing struct {
	io.ReadCloser
	patience *time.Timer
	silence  time.Duration
	end      func()
}

func (r *renewing) Read(b []byte) (int, error) {
	r.patience.Reset(r.silence)
	defer r.patience.Stop()
	return r.ReadCloser.Read(b)
}

func (r *renewing) Close() error {
	defer r.end()
	return r.ReadCloser.Close()
}

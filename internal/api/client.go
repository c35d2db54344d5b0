package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client reads a running balancer through its control socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the balancer whose control socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
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
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[[]Flow](ctx, c, "/v1/flows", q)
}

// Counters asks for all counters.
func (c *Client) Counters(ctx context.Context) ([]Counter, error) {
	return get[[]Counter](ctx, c, "/v1/counters", nil)
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (into T, err error) {
	u := url.URL{Scheme: "http", Host: "afxlb", Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return into, fmt.Errorf("ask for %s: %w", path, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return into, fmt.Errorf("ask the balancer at %s: %w (is it running?)", c.path, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
		return into, fmt.Errorf("ask for %s: %s: %s", path, res.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(res.Body).Decode(&into); err != nil {
		return into, fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return into, nil
}

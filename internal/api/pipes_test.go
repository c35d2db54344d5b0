package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// pipes is a listener of net.Pipe connections, for tests in which synctest has the
// clock. What one end writes, the other must read: there is no buffer between.
type pipes struct {
	backlog chan net.Conn
	closed  chan struct{}
	open    atomic.Int32
	most    atomic.Int32 // that were open at a time
}

func newPipes() *pipes {
	return &pipes{backlog: make(chan net.Conn, 4096), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.backlog:
		p.most.Store(max(p.most.Load(), p.open.Add(1))) // one goroutine accepts
		return &counted{Conn: c, open: &p.open}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.backlog <- there
	return here
}

type counted struct {
	net.Conn
	open   *atomic.Int32
	closed atomic.Bool
}

func (c *counted) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// client returns a Client whose connections p makes.
func (p *pipes) client() *Client {
	dial := func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }
	return newClient("pipes", dial)
}

// servePipes answers from src until the function that it returns is called.
func servePipes(t *testing.T, src Source) (*pipes, func()) {
	p := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, p, src, nop, maxConns) }()
	return p, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

// question sends a request and leaves its answer unread.
func question(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// response reads the head of an answer.
func response(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
)

// Client asks a guest. Its methods may be called by any goroutine.
type Client struct {
	Release string // of the guest's kernel

	ended chan struct{} // closed when nothing comes from the guest any more

	mu      sync.Mutex
	out     *json.Encoder
	last    int
	running map[int]*Process
}

// errGone is what becomes of a request when the guest goes.
var errGone = errors.New("the guest has gone")

// Dial waits until a guest says that it is there.
func Dial(ctx context.Context, r io.Reader, w io.Writer) (*Client, error) {
	c := &Client{ended: make(chan struct{}), out: json.NewEncoder(w), running: map[int]*Process{}}
	there := make(chan string, 1)
	go c.read(json.NewDecoder(r), there)
	select {
	case c.Release = <-there:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("wait for the guest: %w", errGone)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the guest: %w", context.Cause(ctx))
	}
}

// read passes on what the guest says.
func (c *Client) read(in *json.Decoder, there chan<- string) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.ended)
		for id, p := range c.running {
			p.end(-1, errGone)
			delete(c.running, id)
		}
	}()
	for {
		var m message
		if in.Decode(&m) != nil {
			return
		}
		if m.Release != "" {
			there <- m.Release
			continue
		}
		c.mu.Lock()
		p := c.running[m.ID]
		if m.Exit != nil {
			delete(c.running, m.ID)
		}
		c.mu.Unlock()
		switch {
		case p == nil: // of nobody who waits
		case m.Exit == nil:
			_, _ = p.output.Write(m.Output)
		case m.Error != "":
			p.end(*m.Exit, errors.New(m.Error))
		default:
			p.end(*m.Exit, nil)
		}
	}
}

// Process is a program in the guest.
type Process struct {
	c      *Client
	id     int
	what   string
	output io.Writer
	ended  chan struct{}
	code   int // valid when ended
	err    error
}

func (p *Process) end(code int, err error) {
	p.code, p.err = code, err
	close(p.ended)
}

// Start starts a program, whose output goes to w as it comes.
func (c *Client) Start(w io.Writer, args ...string) (*Process, error) {
	return c.ask(w, message{Args: args}, strings.Join(args, " "))
}

func (c *Client) ask(w io.Writer, m message, what string) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return nil, fmt.Errorf("%s: %w", what, errGone)
	default:
	}
	c.last++
	m.ID = c.last
	p := &Process{c: c, id: m.ID, what: what, output: w, ended: make(chan struct{})}
	c.running[p.id] = p
	if err := c.out.Encode(m); err != nil {
		delete(c.running, p.id)
		return nil, fmt.Errorf("%s: ask the guest: %w", what, err)
	}
	return p, nil
}

// Signal sends a signal; a program that has ended gets none.
func (p *Process) Signal(s syscall.Signal) error {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if err := p.c.out.Encode(message{ID: p.id, Signal: int(s)}); err != nil {
		return fmt.Errorf("%s: send %v: %w", p.what, s, err)
	}
	return nil
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the end and returns the exit code, -1 after a signal.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
	case <-ctx.Done():
		return -1, fmt.Errorf("%s in the guest: %w", p.what, context.Cause(ctx))
	}
	if p.err != nil {
		return -1, fmt.Errorf("%s in the guest: %w", p.what, p.err)
	}
	return p.code, nil
}

// Run runs a program to its end and returns what it printed. Any exit code but 0 is
// an error.
func (c *Client) Run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	p, err := c.Start(&out, args...)
	if err != nil {
		return "", err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return "", err
	}
	if code != 0 {
		err = fmt.Errorf("%s in the guest: exit code %d: %s", p.what, code, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), err
}

// WriteFile writes a file in the guest.
func (c *Client) WriteFile(ctx context.Context, path string, data []byte) error {
	p, err := c.ask(io.Discard, message{Path: path, Data: data}, "write "+path)
	if err == nil {
		_, err = p.Wait(ctx)
	}
	return err
}

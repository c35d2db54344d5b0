package api

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who connects and says nothing, or half of a question, or nothing after an answer,
// keeps nobody out.
func TestSilentConnections(t *testing.T) {
	for name, say := range map[string]func(t *testing.T, c net.Conn){
		"nothing": func(*testing.T, net.Conn) {},
		"half":    func(_ *testing.T, c net.Conn) { go io.WriteString(c, "GET /v1/status HTT") },
		"no more": func(t *testing.T, c net.Conn) {
			go func() {
				question(t, c, "/v1/counters")
				res := response(t, c)
				_, _ = io.Copy(io.Discard, res.Body)
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stop := servePipes(t, fixed{})
				defer stop()
				for range 3 * maxConns {
					c := p.dial()
					defer c.Close()
					say(t, c)
				}
				start := time.Now()
				if _, err := p.client().Status(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 4*ticks*tick {
					t.Errorf("the answer took %v", took)
				}
				if n := p.most.Load(); n > maxConns+1 { // the one that waits for a place
					t.Errorf("%d connections were open", n)
				}
			})
		})
	}
}

// Nor has it a place for ever where nobody needs it.
func TestSilenceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(t *testing.T, c net.Conn)
		ends time.Duration
	}{
		"nothing":   {func(*testing.T, net.Conn) {}, 5 * time.Second},
		"half":      {func(_ *testing.T, c net.Conn) { go discard(c); _, _ = io.WriteString(c, "GET /v1/status HTT") }, 5 * time.Second},
		"no body":   {func(t *testing.T, c net.Conn) { unfinished(t, c) }, 10 * time.Second},
		"no more":   {func(t *testing.T, c net.Conn) { question(t, c, "/v1/counters"); go discard(c) }, 30 * time.Second},
		"no reader": {func(t *testing.T, c net.Conn) { question(t, c, "/v2") }, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stop := servePipes(t, fixed{})
				defer stop()
				conn := p.dial()
				defer conn.Close()
				c.say(t, conn)
				time.Sleep(c.ends - time.Millisecond)
				if p.open.Load() != 1 {
					t.Errorf("it had to leave before %v", c.ends)
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if p.open.Load() != 0 {
					t.Errorf("it is still there after %v", c.ends)
				}
			})
		})
	}
}

// unfinished sends a question whose body does not come, and reads.
func unfinished(t *testing.T, c net.Conn) {
	t.Helper()
	go discard(c)
	if _, err := io.WriteString(c, "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func discard(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// A connection on which questions come now and then is not silent, even if somebody
// waits for a place.
func TestBusyConnectionKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, fixed{})
		defer stop()
		poller := p.dial()
		defer poller.Close()
		for range maxConns {
			defer p.dial().Close()
		}
		answers := bufio.NewReader(poller)
		for range 3 * ticks {
			question(t, poller, "/v1/counters")
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			time.Sleep(tick)
		}
	})
}

// held is a Source whose Status takes until release is closed.
type held struct {
	fixed
	asked   atomic.Int32
	release chan struct{}
}

func (h *held) Status() Status {
	h.asked.Add(1)
	<-h.release
	return h.fixed.Status()
}

// One more than can be answered waits while turns begin and end, and is told when that
// has not happened for a second; those that are being answered lose nothing by it.
func TestTooManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &held{release: make(chan struct{})}
		p, stop := servePipes(t, src)
		defer stop()
		first := make(chan error, maxClients)
		for range maxClients {
			go func() {
				_, err := p.client().Status(t.Context())
				first <- err
			}()
		}
		synctest.Wait()
		if n := src.asked.Load(); n != maxClients {
			t.Fatalf("%d are being answered, want %d", n, maxClients)
		}
		start := time.Now()
		late := make(chan error, 10*maxConns)
		for range cap(late) {
			go func() {
				_, err := p.client().Counters(t.Context())
				late <- err
			}()
		}
		for range cap(late) {
			if err := <-late; err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "64 clients") {
				t.Errorf("one too many: %v", err)
			}
		}
		if took := time.Since(start); took > turnTimeout {
			t.Errorf("the last of them was told after %v", took)
		}
		close(src.release)
		for range maxClients {
			if err := <-first; err != nil {
				t.Error(err)
			}
		}
	})
}

// brief is a Source whose Status takes a while.
type brief struct{ fixed }

func (b brief) Status() Status {
	time.Sleep(turnTimeout * 3 / 4)
	return b.fixed.Status()
}

func TestTurnsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, brief{})
		defer stop()
		var wg sync.WaitGroup
		for range 5 * maxClients {
			wg.Go(func() {
				if _, err := p.client().Status(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// A client that has gone needs no turn.
func TestTurnOfAClientThatLeft(t *testing.T) {
	p := newPool(nil, maxConns)
	for range maxClients {
		if !p.begin(t.Context()) {
			t.Fatal("no turn, though there is room")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p.begin(ctx) {
		t.Error("one turn too many")
	}
}

// The pool ends while a connection waits for a place.
func TestServeEndsWhenAllIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &held{release: make(chan struct{})}
		p, stop := servePipes(t, src)
		for range maxConns + 1 {
			question(t, p.dial(), "/v1/status")
		}
		synctest.Wait()
		stop()
		if n := p.open.Load(); n != 0 {
			t.Errorf("%d connections are open after the end", n)
		}
		close(src.release)
	})
}

// A thousand clients at once get their answers, with no more goroutines for them than
// there are places.
func TestThousandClients(t *testing.T) {
	src := &counting{}
	c := serve(t, src)
	c.silence = 10 * time.Minute // they are in one process, on whatever machine
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if list, err := c.Backends(t.Context(), ""); err != nil || len(list) != 2 {
				t.Errorf("%d backends, %v", len(list), err)
			}
		})
	}
	wg.Wait()
	if n := src.most.Load(); n > maxClients {
		t.Errorf("%d were answered at a time, want %d at most", n, maxClients)
	}
}

// counting is a Source that counts how many ask for backends at a time.
type counting struct {
	fixed
	now, most atomic.Int32
}

func (c *counting) Backends(service string) iter.Seq[Backend] {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return c.fixed.Backends(service)
}

package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// spareConns of the connections are for clients that wait for their turn, or are
	// told that there are too many: a fifth.
	spareConns = 5
	// turnTimeout is how long a question waits for its turn when no turn begins or ends.
	turnTimeout = time.Second
	// A connection that waits for a place looks each tick for it, and after so many
	// ticks makes one. Ticks, and not time: when the whole process had to wait for a
	// CPU, nobody was silent.
	tick  = 50 * time.Millisecond
	ticks = 10
)

// pool bounds the connections of a listener. One that comes when all places are taken
// waits for one; if nobody leaves, all have to that were silent for so long. Those that
// are being answered keep their places. So clients that connect and say nothing keep
// nobody out, and a rush of those that are soon served costs none of them its answer.
type pool struct {
	net.Listener
	most   int           // connections that may be open
	turns  chan struct{} // one for each question that is being answered
	room   chan struct{} // a connection was closed
	closed chan struct{}
	once   sync.Once // for closed

	mu    sync.Mutex
	conns map[*conn]struct{}
	moved time.Time // when a turn began or ended last
}

// conn is a connection of a pool.
type conn struct {
	net.Conn
	pool *pool
	// guarded by pool.mu
	asked bool      // a question is being answered, or waits for its turn
	since time.Time // when it got its place, or its last answer
}

// newPool returns a pool of so many connections at most.
func newPool(l net.Listener, most int) *pool {
	return &pool{
		Listener: l, most: most, turns: make(chan struct{}, max(most-most/spareConns, 1)), room: make(chan struct{}, 1),
		closed: make(chan struct{}), conns: make(map[*conn]struct{}, most),
	}
}

// Accept returns the next connection when there is a place for it. Those behind it
// wait in the kernel's backlog.
func (p *pool) Accept() (net.Conn, error) {
	nc, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, pool: p}
	start, waited := time.Now(), 0
	for !p.admit(c) {
		select {
		case <-p.room:
			start, waited = time.Now(), 0
		case <-time.After(tick):
			if waited++; waited >= ticks {
				p.evict(start)
			}
		case <-p.closed:
			nc.Close()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

// admit gives c a place if there is one.
func (p *pool) admit(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) >= p.most {
		return false
	}
	c.since = time.Now()
	p.conns[c] = struct{}{}
	return true
}

// evict closes all connections that have been silent since start.
func (p *pool) evict(start time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if !c.asked && !c.since.After(start) {
			delete(p.conns, c)
			c.Conn.Close() // its server's read ends, and it calls c.Close
		}
	}
}

// Close ends the listening, not the connections.
func (p *pool) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Listener.Close()
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	c.pool.mu.Lock()
	delete(c.pool.conns, c)
	c.pool.mu.Unlock()
	select {
	case c.pool.room <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// asks notes that a question is being answered, or that it has been.
func (c *conn) asks(now bool) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.asked, c.since = now, time.Now()
}

// connKey is the key of a request's *conn in its context.
type connKey struct{}

// context is for http.Server.ConnContext.
func (p *pool) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// limit returns a handler that has next answer no more questions at a time than there are
// turns. One more waits while there is hope, and is told then.
func (p *pool) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(*conn)
		c.asks(true)
		defer c.asks(false)
		if !p.begin(r.Context()) {
			w.Header().Set("Connection", "close")
			refuse(w, newProblem(http.StatusServiceUnavailable,
				fmt.Sprintf("%d clients are being answered already; ask again later", cap(p.turns))))
			return
		}
		defer p.end()
		next.ServeHTTP(w, r)
	})
}

// begin waits for a turn, and reports whether it came.
func (p *pool) begin(ctx context.Context) bool {
	select {
	case p.turns <- struct{}{}:
		p.move()
		return true
	default:
	}
	p.mu.Lock()
	hopeless := time.NewTimer(turnTimeout - time.Since(p.moved))
	p.mu.Unlock()
	defer hopeless.Stop()
	select {
	case p.turns <- struct{}{}:
		p.move()
		return true
	case <-hopeless.C:
	case <-ctx.Done(): // the client went away
	}
	return false
}

func (p *pool) end() {
	<-p.turns
	p.move()
}

func (p *pool) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
}

package health

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	// hearing is how long the rest of an answer may take, and parting how long a server
	// has for its own end after that: longer than it takes those who greet late, or
	// answer when the verdict is out already.
	hearing, parting = 10 * time.Second, 20 * time.Second
	// maxRest bounds what is read in each of these times.
	maxRest = 8 << 20
	// linger is all that is left of both when the Prober closes.
	linger = 100 * time.Millisecond
)

// call is a connection that has served its purpose and is to be closed in the ordinary
// way, by a FIN. A reset would spare the balancer a socket in TIME_WAIT, but many servers
// log one as an error of their client, every few seconds. The kernel sends one, too, for
// data that was not read when the socket is closed or that comes later (tcp_close and
// tcp_rcv_state_process in net/ipv4): the rest of a page, the greeting of a server that
// speaks first, an answer that comes after its time.
//
// So a call first hears the answer to its end, since some servers take the FIN of a
// client that they still answer for a break, then sends the FIN and reads on until the
// server sends its own. A server that has no end is cut off after all, and so is one
// that others need the place of.
type call struct {
	conn net.Conn
	rest io.Reader // of an answer that has begun; nil: there is none

	mu    sync.Mutex
	until time.Time // nothing is heard after it; zero: the usual times
}

func newCall(conn net.Conn, rest io.Reader) *call { return &call{conn: conn, rest: rest} }

// hangUp closes the connection when the server has come to its end, or has had its time.
func (c *call) hangUp() {
	defer c.conn.Close()
	if c.rest != nil {
		c.hear(c.rest, hearing)
	}
	if conn, ok := c.conn.(interface{ CloseWrite() error }); ok && conn.CloseWrite() == nil {
		c.hear(c.conn, parting)
	}
}

// hear reads what comes for a while, and forgets it.
func (c *call) hear(r io.Reader, patience time.Duration) {
	if c.limit(time.Now().Add(patience)) == nil {
		_, _ = io.CopyN(io.Discard, r, maxRest)
	}
}

// limit sets the time until which is heard, unless it is up sooner.
func (c *call) limit(until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.until.IsZero() && c.until.Before(until) {
		until = c.until
	}
	return c.conn.SetReadDeadline(until)
}

// hasten leaves the server no more time than d.
func (c *call) hasten(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(d)
	if !c.until.IsZero() && c.until.Before(until) {
		return
	}
	c.until = until
	_ = c.conn.SetReadDeadline(until) // fails if it is closed already
}

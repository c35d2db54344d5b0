package engine

import (
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// youthTime is how long after it began to serve, or to be in another machine's place, an engine takes a backend's segment in mid-stream
// for one of a connection of who was there before: the client's next packet brings that back,
// by the consistent hash. A RST, the balancer's own or that of a client which gets the
// segment from the backend's address, would end it. While nobody served, each time that
// the client sent again took it twice as long as the one before.
const youthTime = 5 * time.Second

// Succeed tells the engine that it may be in the place of another machine now, whose
// connections come to it. Any goroutine may call it.
func (e *Engine) Succeed() {
	e.succeeded.Store(int64(time.Since(e.made)))
	e.young.Store(true)
}

// mature ends the engine's youth when it is over. It has served for a while.
func (e *Engine) mature(served time.Duration) {
	age := served
	if at := e.succeeded.Load(); at > 0 {
		age = min(age, time.Since(e.made)-time.Duration(at))
	}
	if age >= youthTime && e.young.Load() {
		e.young.Store(false)
	}
}

// youth is what a worker remembers while the engine is young: the connections to backends'
// own addresses that it has seen the answer to the SYN of, by hash. They are no service's.
type youth [4096]uint64

// resumes reports whether p, which is of no flow and comes from a backend, may be of a
// connection of the process before. A RST may go anywhere: whoever has no such connection
// ignores it (RFC 9293, 3.10.7.1).
func (y *youth) resumes(p *packet.Packet, hash uint64) bool {
	if p.Key.Proto != packet.ProtoTCP || p.TCPFlags&packet.TCPRst != 0 {
		return false
	}
	known := &y[hash%uint64(len(y))]
	if p.TCPFlags&packet.TCPSyn != 0 {
		*known = hash
	}
	return *known != hash
}

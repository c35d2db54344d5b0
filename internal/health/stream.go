package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A check by HTTP through a tunnel needs more than a half-open connection. The kernel can't
// have it: its packets would go by its routes, and not to the one backend. So there is a
// client's end of TCP here (RFC 9293), as far as one request and its answer need it: what it
// sends goes into the tunnel and is sent again until it is acknowledged, what comes out of
// order is dropped, and comes again. The kernel is kept from answering in its stead.

const (
	// maxSent bounds what a stream sends, with SYN and FIN: see wire.open.
	maxSent = 1 << 15
	// part is how much of a request is sent at a time: it fits into any tunnel.
	part = 1000
	// inboxSize is how many segments may wait.
	inboxSize = 64
)

// stream is a connection to t.Address, by way of t.Holder. It is one goroutine's but for the
// deadline.
type stream struct {
	prober *Prober
	wire   *wire
	port   reservation
	at     *opening
	t      Target

	sent   uint32 // sequence number of the first byte that is not acknowledged
	unsure []byte // what was sent from there on
	next   uint32 // that is expected of the server
	ready  []byte // what came, and was not read
	closed bool   // a FIN was sent
	ended  bool   // one came
	failed error

	mu       sync.Mutex
	deadline time.Time     // zero: none
	changed  chan struct{} // when the deadline does
}

// inside opens a connection to t.Address through the tunnel to t.Holder.
func (p *Prober) inside(ctx context.Context, t *Target) (net.Conn, error) {
	if p.link == nil {
		return nil, unsent{errors.New("nothing is known of the link")}
	}
	w, err := p.wires.of(t.Address.Addr())
	if err != nil {
		return nil, unsent{err}
	}
	own, err := asker(t)
	if err != nil {
		return nil, unsent{err}
	}
	port, err := reserve(own, p.link.Taken)
	if err != nil {
		return nil, unsent{err}
	}
	if err := port.silence(); err != nil {
		port.release()
		return nil, unsent{err}
	}
	s := &stream{prober: p, wire: w, port: port, t: *t, changed: make(chan struct{}, 1)}
	s.at = w.open(port.AddrPort, t.Address, make(chan received, inboxSize))
	s.sent = s.at.seq + 1
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// silence has the kernel drop what comes to the port, and not answer it by a RST: a
// socket that listens has it, and a filter that lets nothing through (tcp_v4_rcv in
// net/ipv4/tcp_ipv4.c).
func (r reservation) silence() error {
	nothing := []unix.SockFilter{{Code: giveBack, K: 0}}
	err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	if err == nil {
		err = unix.Listen(r.fd, 1)
	}
	return os.NewSyscallError("keep a port silent", err)
}

// connect sends SYNs until the server answers.
func (s *stream) connect(ctx context.Context) error {
	out := false
	for {
		wait, unready := s.repeat(), s.put(flagSYN, s.at.seq, nil)
		if out = out || unready == nil; !out {
			wait = again
		}
		select {
		case in := <-s.at.inbox:
			switch {
			case in.ack != s.sent:
			case in.flags&flagRST != 0:
				return fmt.Errorf("%w: does the server of %v listen on %v?", syscall.ECONNREFUSED, s.t.Holder, s.t.Address)
			case in.flags&flagSYN != 0:
				s.next = in.seq + 1
				return s.put(flagACK, s.sent, nil)
			}
		case <-ctx.Done():
			if !out {
				return unsent{unready}
			}
			return notHeld{s.t, ctx.Err()}
		case <-time.After(wait):
		}
	}
}

// repeat is how long an acknowledgement is waited for.
func (s *stream) repeat() time.Duration { return min(s.t.Timeout/rounds, time.Second) }

// put sends a segment, by the way that leads to the backend now.
func (s *stream) put(flags uint8, seq uint32, data []byte) error {
	hop, err := s.prober.link.Hop(s.t.Holder, false)
	if err != nil {
		return err
	}
	h := segment{from: s.at.from, to: s.at.to, seq: seq, flags: flags}
	if flags&flagACK != 0 {
		h.ack = s.next
	}
	return s.wire.put(&h, data, hop, &s.t)
}

// resend sends all that is not acknowledged.
func (s *stream) resend() {
	for at := 0; at < len(s.unsure); at += part {
		_ = s.put(flagACK|flagPSH, s.sent+uint32(at), s.unsure[at:min(at+part, len(s.unsure))])
	}
	if s.closed {
		_ = s.put(flagACK|flagFIN, s.sent+uint32(len(s.unsure)), nil)
	}
}

// Write sends b. Whether it arrives shows in what is read.
func (s *stream) Write(b []byte) (int, error) {
	if int(s.sent-s.at.seq)+len(s.unsure)+len(b)+1 > maxSent {
		return 0, fmt.Errorf("a request of more than %d bytes through a tunnel: %w", maxSent, syscall.EMSGSIZE)
	}
	s.unsure = append(s.unsure, b...)
	s.resend()
	return len(b), nil
}

// Read returns what the server has sent.
func (s *stream) Read(b []byte) (int, error) {
	for {
		switch {
		case len(s.ready) > 0:
			n := copy(b, s.ready)
			s.ready = s.ready[n:]
			return n, nil
		case s.failed != nil:
			return 0, s.failed
		case s.ended:
			return 0, io.EOF
		}
		if err := s.await(); err != nil {
			return 0, err
		}
	}
}

// await takes the next segment, or sends once more what may be lost.
func (s *stream) await() error {
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	wait := s.repeat()
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		wait = min(wait, left)
	}
	select {
	case in := <-s.at.inbox:
		s.take(&in)
	case <-s.changed:
	case <-time.After(wait):
		s.resend()
	}
	return nil
}

// take takes a segment in.
func (s *stream) take(in *received) {
	if acked := in.ack - s.sent; acked <= uint32(len(s.unsure)) {
		s.sent, s.unsure = in.ack, s.unsure[acked:]
	}
	if in.flags&flagRST != 0 {
		if in.seq == s.next {
			s.failed = syscall.ECONNRESET
		}
		return
	}
	end := in.seq + uint32(len(in.data))
	if known := s.next - in.seq; known <= uint32(len(in.data)) {
		s.ready, s.next = append(s.ready, in.data[known:]...), end
	}
	if in.flags&flagFIN != 0 && end == s.next && !s.ended {
		s.ended = true
		s.next++
	}
	if len(in.data) > 0 || in.flags&(flagSYN|flagFIN) != 0 {
		_ = s.put(flagACK, s.sent+uint32(len(s.unsure)), nil)
	}
}

// CloseWrite says that nothing more is sent.
func (s *stream) CloseWrite() error {
	s.closed = true
	s.resend()
	return s.failed
}

// Close ends the connection, by a RST if the server's end is not known to have come.
func (s *stream) Close() error {
	if s.next != 0 && !(s.closed && s.ended) && s.failed == nil {
		_ = s.put(flagRST|flagACK, s.sent+uint32(len(s.unsure)), nil)
	}
	s.wire.forget(s.at)
	s.port.release()
	return nil
}

// SetDeadline bounds reads; writes wait for nothing.
func (s *stream) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline may be called while Read waits.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // it is told already
	}
	return nil
}

// SetWriteDeadline does nothing.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr returns the own end.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.at.from) }

// RemoteAddr returns the service's.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.at.to) }

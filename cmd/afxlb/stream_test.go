package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// streamPort is where each backend echoes what it gets, line by line and with its
// name, on addresses of both families and the dsr VIPs.
const streamPort = 9000

// listenStreams starts the backends' echo servers.
func (w *world) listenStreams() {
	w.t.Helper()
	for i, h := range w.lab.Backends {
		w.listenStream(h, fmt.Sprint("b", i))
	}
}

func (w *world) listenStream(h *lab.Host, name string) {
	w.t.Helper()
	err := h.ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
		fmt.Fprintln(c, name)
		_, _ = io.Copy(c, c)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// dialFrom opens a connection from an address and port of client 0, if they are given, that
// may be in use by another one of dialFrom.
func (w *world) dialFrom(local net.Addr, to netip.AddrPort, patience time.Duration) (c net.Conn, err error) {
	err = w.lab.Clients[0].Do(func() error {
		d := net.Dialer{LocalAddr: local, Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); cerr != nil {
				return cerr
			}
			return err
		}}
		c, err = d.DialContext(w.t.Context(), "tcp", to.String())
		return err
	})
	return c, err
}

// talk is an idle connection of client 0 to a stream's server.
type talk struct {
	net.Conn
	vip    netip.Addr
	server string // the name of who is at the other end
}

// openTalk opens one, for the time of the test.
func (w *world) openTalk(vip netip.Addr) *talk {
	w.t.Helper()
	c, name, err := w.dialStream(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &talk{Conn: c, vip: vip, server: name}
}

// client returns the client's end.
func (c *talk) client() netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }

// stream is a long-lived connection on which a byte goes back and forth all the time.
type stream struct {
	backend string
	local   net.Addr
	broken  atomic.Pointer[error] // how it ended; nil: it lives
	beats   atomic.Int64          // bytes that came back
}

// streams are connections to one service.
type streams struct {
	t    *testing.T
	list []*stream
	stop context.CancelFunc
	all  sync.WaitGroup
}

// openStreams opens n streams to a service, each of which beats every 20 ms.
func (w *world) openStreams(n int, vip netip.Addr) *streams {
	w.t.Helper()
	return w.openStreamsEvery(n, vip, 20*time.Millisecond)
}

// openStreamsEvery opens n that beat as often as that.
func (w *world) openStreamsEvery(n int, vip netip.Addr, every time.Duration) *streams {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	s := &streams{t: w.t, stop: stop}
	for range n {
		c, err := w.dialFrom(nil, netip.AddrPortFrom(vip, streamPort), patience)
		if err != nil {
			w.t.Fatalf("open a stream: %v", err)
		}
		var name string
		if _, err := fmt.Fscanln(c, &name); err != nil {
			w.t.Fatalf("read a stream's backend: %v", err)
		}
		one := &stream{backend: name, local: c.LocalAddr()}
		s.list = append(s.list, one)
		s.all.Go(func() { one.beat(ctx, c, every) })
	}
	w.t.Cleanup(s.close)
	return s
}

// beat writes all the time, whether or not anything comes back: a client that only
// waited could not know that the balancer has been started anew, nor tell it.
func (s *stream) beat(ctx context.Context, c net.Conn, every time.Duration) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	ended := func(err error) {
		if ctx.Err() == nil {
			s.broken.CompareAndSwap(nil, &err)
		}
	}
	go func() {
		for ctx.Err() == nil {
			if _, err := c.Write([]byte{'.'}); err != nil {
				ended(err)
				return
			}
			time.Sleep(every)
		}
	}()
	b := make([]byte, 100)
	for {
		n, err := c.Read(b)
		if err != nil {
			ended(err)
			return
		}
		s.beats.Add(int64(n))
	}
}

func (s *streams) close() {
	s.stop()
	s.all.Wait()
}

// lost returns how many are broken.
func (s *streams) lost() (n int) {
	for _, one := range s.list {
		if one.broken.Load() != nil {
			n++
		}
	}
	return n
}

// mustLive waits until every stream has beaten ten more times, which takes 200 ms or as long
// as it was opened for.
func (s *streams) mustLive(when string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	var goals []int64
	for _, one := range s.list {
		goals = append(goals, one.beats.Load()+10)
	}
	for i, one := range s.list {
		for one.beats.Load() < goals[i] {
			if err := one.broken.Load(); err != nil {
				s.t.Fatalf("%s: stream %d to %s is broken (%d of %d are): %v", when, i, one.backend, s.lost(), len(s.list), *err)
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%s: stream %d to %s stands still", when, i, one.backend)
			}
			time.Sleep(poll)
		}
	}
}

// streamService is the entry of a service at the port of streams, with all backends if
// there are none given; checks are of the same port.
func streamService(name string, vip netip.Addr, mode, extra string, backends ...string) string {
	if backends == nil {
		backends = backendsOf(vip)
	}
	return entry(name, vip, streamPort, fmt.Sprintf("mode: %s, %s", mode, extra), backends...)
}

package ends

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/child"
)

// Server is the task of a server: to send back all that comes, over TCP and UDP, until
// it is killed. It says [Ready] when it listens.
type Server struct {
	Listen []netip.AddrPort
	CPUs   []int
}

// Ready is what a server says.
const Ready = "ready"

// Serve is the child's handler of a [Server].
func Serve(task json.RawMessage, out *child.Out) error {
	var t Server
	if err := json.Unmarshal(task, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	if err := settle(t.CPUs); err != nil {
		return err
	}
	s, err := newServer(t.Listen)
	if err != nil {
		return err
	}
	out.Progress(Ready)
	return s.run()
}

// server is one thread with everything.
type server struct {
	poll *poller
	kind map[int]kind // of descriptors that are no connections
	buf  [64 << 10]byte
}

type kind byte

const (
	connection kind = iota
	listener
	datagrams
)

func newServer(at []netip.AddrPort) (*server, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	s := &server{poll: p, kind: map[int]kind{}}
	for _, a := range at {
		for protocol, k := range map[string]kind{"tcp": listener, "udp": datagrams} {
			fd, err := listen(protocol, a)
			if err != nil {
				return nil, err
			}
			s.kind[fd] = k
			if err := p.watch(fd, unix.EPOLLIN); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *server) run() error {
	for {
		events, err := s.poll.wait(-1)
		if err != nil {
			return err
		}
		for _, e := range events {
			fd := int(e.Fd)
			switch s.kind[fd] {
			case listener:
				err = s.accept(fd)
			case datagrams:
				err = s.answer(fd)
			default:
				s.echo(fd)
			}
			if err != nil {
				return err
			}
		}
	}
}

// accept takes all connections that wait.
func (s *server) accept(listener int) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.ECONNABORTED, unix.EINTR:
			continue
		default:
			return fmt.Errorf("accept: %w", err)
		}
		if err := s.poll.watch(fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
}

// echo sends back what a connection has brought, and closes it when the client has.
// An answer that does not fit into the socket's buffer is the client's mistake.
func (s *server) echo(fd int) {
	n, err := read(fd, s.buf[:])
	if err == unix.EAGAIN {
		return
	}
	if n > 0 {
		if sent, _ := unix.Write(fd, s.buf[:n]); sent == n {
			return
		}
	}
	unix.Close(fd)
}

// answer sends back all datagrams that wait.
func (s *server) answer(fd int) error {
	for {
		n, from, err := unix.Recvfrom(fd, s.buf[:], 0)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ECONNREFUSED: // a client is gone
			continue
		default:
			return fmt.Errorf("receive: %w", err)
		}
		_ = unix.Sendto(fd, s.buf[:n], 0, from) // what is lost, the client counts
	}
}

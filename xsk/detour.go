package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// detour sends for a socket whose queue can only receive: by a packet socket, from which
// the interface takes packets with whichever TX queue it has. It is slower than a ring by
// a system call a packet, and as exact: a packet that the interface does not take is the
// caller's again.
type detour struct {
	fd  int
	err error // for the next Flush
}

// openDetour makes the socket's detour. The packet socket receives nothing, as it is bound
// to no protocol (packet(7)), and goes around the queueing disciplines as AF_XDP does.
func (s *Socket) openDetour() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("make a packet socket to send by: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: s.info.Index})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("set up a packet socket to send by: %w", err)
	}
	setSendBuffer(fd, int(s.info.Frames)*int(s.info.FrameSize))
	s.detour, s.info.Detour = &detour{fd: fd}, true
	return nil
}

// close gives the packet socket up. There need not be one.
func (d *detour) close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

// take returns the error of what was sent since the last time.
func (d *detour) take() error {
	err := d.err
	d.err = nil
	return err
}

// sendByDetour is Transmit by the packet socket: what it takes has been copied when it
// returns, and the frames are free.
func (s *Socket) sendByDetour(descs []Desc) int {
	for i := range descs {
		d := descs[i : i+1]
		if !s.sendable(&d[0]) {
			s.counters.refused.Add(1)
			s.discard(d)
			continue
		}
		_, err := unix.Write(s.detour.fd, s.umem.Frame(d[0]))
		for err == unix.EINTR {
			_, err = unix.Write(s.detour.fd, s.umem.Frame(d[0]))
		}
		switch errno, _ := err.(unix.Errno); errno {
		case 0:
		case unix.EAGAIN, unix.ENOBUFS: // the send buffer is full, or the interface takes no more
			s.counters.again.Add(1)
			return i
		case unix.EMSGSIZE: // longer than the MTU: this one can't be sent, others can
			s.counters.dropped.Add(1)
		default:
			s.detour.err = s.sendError(errno)
			return i
		}
		s.discard(d)
	}
	return len(descs)
}

// sendable reports whether d is the caller's and a packet, in a frame or a place of long ones.
func (s *Socket) sendable(d *Desc) bool {
	if _, long := s.umem.longs.place(d.Addr); long {
		return d.Len != 0 && d.Options == 0 && int(d.Len) <= s.umem.longs.room(d.Addr)
	}
	hands := s.umem.view()
	return hands.sendable(d) && hands.of(d.Addr) == held
}

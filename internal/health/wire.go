package health

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// wire sends the packets of all half-open probes of one family, and takes their answers.
// It is a packet socket: what it sends goes to the MAC address that it is told, and it
// sees what arrives before the kernel's own TCP, and whatever that makes of it. An answer
// may arrive by any interface.
type wire struct {
	file     *os.File
	protocol uint16 // Ethernet's, in network byte order
	secret   uint16 // what our sequence numbers begin with
	ended    chan struct{}

	mu      sync.Mutex
	waiting map[netip.AddrPort]*opening // by own address and port
}

// opening is one connection that a probe has half opened, or opened.
type opening struct {
	from, to netip.AddrPort
	seq      uint32        // the SYN's
	answer   chan uint8    // gets the flags of the first answer
	inbox    chan received // gets all segments of one that is opened; nil: it is not to be
}

// received is a segment with its data.
type received struct {
	segment
	data []byte
}

// openWire opens a packet socket. The filter is there before anything can arrive, which
// is when the socket gets its protocol.
func openWire(ipv4 bool) (w *wire, err error) {
	var secret [2]byte
	_, _ = rand.Read(secret[:]) // never fails
	w = &wire{
		protocol: etherType(ipv4), secret: binary.BigEndian.Uint16(secret[:]),
		ended: make(chan struct{}), waiting: map[netip.AddrPort]*opening{},
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	program := answers(ipv4, w.secret)
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: w.protocol})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up a packet socket: %w", err)
	}
	w.file = os.NewFile(uintptr(fd), "packet socket")
	go w.receive()
	return w, nil
}

// etherType returns Ethernet's number of a family, in network byte order.
func etherType(ipv4 bool) uint16 {
	n := uint16(unix.ETH_P_IPV6)
	if ipv4 {
		n = unix.ETH_P_IP
	}
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// close returns when nothing is received any more.
func (w *wire) close() {
	w.file.Close()
	<-w.ended
}

// receive hands answers to those who wait for them.
func (w *wire) receive() {
	defer close(w.ended)
	b := make([]byte, snapLen)
	for {
		n, err := w.file.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if s, ok := parseSegment(b[:n]); ok {
			w.take(&s, dataOf(b[:n]))
		}
	}
}

// take hands a segment to who waits for it. The data stays the caller's.
func (w *wire) take(s *segment, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.waiting[s.to]
	if o == nil || o.to != s.from {
		return
	}
	if o.inbox != nil {
		select {
		case o.inbox <- received{*s, bytes.Clone(data)}:
		default: // as if it were lost: it comes again
		}
		return
	}
	if s.ack != o.seq+1 || s.flags&flagACK == 0 || s.flags&(flagSYN|flagRST) == 0 {
		return
	}
	select {
	case o.answer <- s.flags:
	default: // it has one
	}
}

// open makes from, which nobody else may use, wait for answers from to, with an inbox if all are
// wanted. Its sequence number can't be guessed, and plus what a probe may send it still begins
// with the secret.
func (w *wire) open(from, to netip.AddrPort, inbox chan received) *opening {
	var b [4]byte
	_, _ = rand.Read(b[2:]) // never fails
	binary.BigEndian.PutUint16(b[:], w.secret)
	b[2] &= 0x7f // leaves maxSent
	o := &opening{from: from, to: to, seq: binary.BigEndian.Uint32(b[:]), answer: make(chan uint8, 1), inbox: inbox}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[from] = o
	return o
}

// forget ends the wait for answers.
func (w *wire) forget(o *opening) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, o.from)
}

// send sends a segment of o by a hop, in the tunnel if t has one: the SYN or, behind it, the
// RST that takes it back.
func (w *wire) send(o *opening, flags uint8, h Hop, t *Target) error {
	s := segment{from: o.from, to: o.to, seq: o.seq, flags: flags}
	if flags == flagRST {
		s.seq++
	}
	return w.put(&s, nil, h, t)
}

// put sends a segment by a hop, in the tunnel if t has one.
func (w *wire) put(s *segment, data []byte, h Hop, t *Target) error {
	b, protocol := []byte(nil), w.protocol
	if t.tunnelled() {
		var err error
		if b, protocol, err = enclose(s, data, h.Own, t.Tunnel); err != nil {
			return err
		}
	} else {
		b = s.appendTo(nil, reach, data...)
	}
	to := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: h.Ifindex, Halen: uint8(len(h.MAC))}
	copy(to.Addr[:], h.MAC[:])
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, to) }); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("send to %v by %x: %w", s.to, h.MAC, err)
	}
	return nil
}

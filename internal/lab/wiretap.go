package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Wiretap sees what the balancer sends, at the switch's end of its cable. It is one
// goroutine's, and is closed with the switch.
type Wiretap struct {
	fd  int
	buf []byte
}

// Wiretap returns one that sees what is sent from now on.
func (l *Lab) Wiretap() (*Wiretap, error) {
	w := &Wiretap{buf: make([]byte, 1<<16)}
	err := l.Switch.Do(func() error {
		link, err := net.InterfaceByName(port(l.Balancer))
		if err != nil {
			return err
		}
		all := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		l.Switch.onClose(func() error { return unix.Close(w.fd) })
		// What comes while nobody asks for the next is kept, too.
		const room = 16 << 20
		if err := unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: link.Index})
	})
	if err != nil {
		return nil, fmt.Errorf("listen at %s of the switch: %w", port(l.Balancer), err)
	}
	return w, nil
}

// Next returns the next frame, which is the caller's until the next call, and waits so long
// for it. An outermost VLAN tag, which the kernel has taken out, is in it again.
func (w *Wiretap) Next(wait time.Duration) ([]byte, error) {
	const room = 4 // of a tag
	var control [64]byte
	for end := time.Now().Add(wait); ; { // frames for the balancer come by here, and signals
		timeout := unix.NsecToTimeval(max(time.Until(end), time.Microsecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return nil, fmt.Errorf("listen at the switch: %w", err)
		}
		n, c, _, from, err := unix.Recvmsg(w.fd, w.buf[room:], control[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listen at the switch: %w", err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING { // to the balancer
			continue
		}
		messages, err := unix.ParseSocketControlMessage(control[:c])
		if err != nil {
			return nil, fmt.Errorf("listen at the switch: %w", err)
		}
		for _, m := range messages {
			if a := m.Data; m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(a) >= 20 {
				const valid = unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID // struct tpacket_auxdata
				if binary.NativeEndian.Uint32(a)&valid == valid {
					copy(w.buf, w.buf[room:room+12])
					binary.BigEndian.PutUint16(w.buf[12:], binary.NativeEndian.Uint16(a[18:]))
					binary.BigEndian.PutUint16(w.buf[14:], binary.NativeEndian.Uint16(a[16:]))
					return w.buf[:room+n], nil
				}
			}
		}
		return w.buf[room : room+n], nil
	}
}

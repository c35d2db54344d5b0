package announce

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// socket sends and hears what a link's machines say of who has which address, of one family.
type socket struct {
	fd      int
	address unix.SockaddrLinklayer
}

// hearing bounds the frames that one look takes from a socket. What comes beyond it fills the
// socket's buffer, and then the kernel drops it: whoever sends so many hides others, for as
// long, and costs no more.
const hearing = 256

// advertisements has the kernel pass only these, of all that is IPv6 on the link.
var advertisements = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 20}, // next header
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMPV6, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: icmpType},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: neighbourAdvertisement, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 256},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// openSocket opens one on the device with the index.
func openSocket(index int, ipv6 bool) (*socket, error) {
	typ := uint16(unix.ETH_P_ARP)
	if ipv6 {
		typ = unix.ETH_P_IPV6
	}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, typ))
	// Of no protocol until it is bound, or it would hear what the filter is not there for yet.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for ARP: %w", err)
	}
	s := &socket{fd, unix.SockaddrLinklayer{Ifindex: index, Protocol: protocol}}
	if ipv6 {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(advertisements)), Filter: &advertisements[0]})
	}
	if err == nil {
		err = unix.Bind(fd, &s.address)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open a packet socket for ARP: %w", err)
	}
	return s, nil
}

func (s *socket) send(frame []byte) error {
	if err := unix.Sendto(s.fd, frame, 0, &s.address); err != nil {
		return fmt.Errorf("send to the link: %w", err)
	}
	return nil
}

// hear calls f for each claim that has come.
func (s *socket) hear(f func(claim)) {
	b := make([]byte, 256)
	for range hearing {
		n, err := unix.Read(s.fd, b)
		if err != nil {
			return // nothing more, or an interface that is gone, which the next look tells
		}
		if c, ok := parseClaim(b[:n]); ok {
			f(c)
		}
	}
}

func (s *socket) close() { unix.Close(s.fd) }

package health

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ownAddress returns the machine's own address that the kernel would use towards a
// backend. To connect by UDP sends nothing.
func ownAddress(backend netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(backend, 9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// reservation is a TCP port of the machine's that nobody else gets while it is held. The
// kernel has a socket for it that does nothing.
type reservation struct {
	netip.AddrPort
	fd int
}

func (r reservation) release() { unix.Close(r.fd) }

// tries bounds the search for a port that is nobody's.
const tries = 64

// reserve takes a port of an own address, and none that is taken, as the caller says.
func reserve(own netip.Addr, taken func(netip.AddrPort) bool) (r reservation, err error) {
	port := uint16(0) // the kernel's choice, at first
	for range tries {
		if r, err = bindPort(netip.AddrPortFrom(own, port)); err == nil {
			if !taken(r.AddrPort) {
				return r, nil
			}
			r.release()
		} else if port == 0 || !errors.Is(err, unix.EADDRINUSE) {
			return r, fmt.Errorf("reserve a port of %v: %w", own, err)
		}
		port = uint16(1024 + rand.IntN(1<<16-1024))
	}
	return r, fmt.Errorf("reserve a port of %v: found none that is not a service's: %w", own, unix.EADDRNOTAVAIL)
}

func bindPort(a netip.AddrPort) (r reservation, err error) {
	var to unix.Sockaddr
	family := unix.AF_INET
	if a.Addr().Is4() {
		to = &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return r, err
	}
	if err = unix.Bind(fd, to); err == nil {
		to, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return r, err
	}
	port := 0
	switch to := to.(type) {
	case *unix.SockaddrInet4:
		port = to.Port
	case *unix.SockaddrInet6:
		port = to.Port
	}
	return reservation{netip.AddrPortFrom(a.Addr(), uint16(port)), fd}, nil
}

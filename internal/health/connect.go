package health

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// connect is the Prober's way to dial. It differs from [net.Dialer.DialContext] in one
// thing: an error that came before anything was on its way is unsent.
//
// To know that it makes the socket's connect(2) itself, from the dialler's hook. As the
// socket does not block, the call returns before any answer is looked at: EINPROGRESS
// if a SYN is on its way, and otherwise what this machine has against it
// (__inet_stream_connect in net/ipv4/af_inet.c). The dialler's own connect(2), right
// after, finds the connection under way (EALREADY) and waits for it; what the network
// says comes by that, or by SO_ERROR.
func connect(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	sent := false
	d := net.Dialer{
		KeepAlive: -1, // a probe is over long before
		ControlContext: func(_ context.Context, _, _ string, c syscall.RawConn) error {
			err := begin(c, sockaddr(to))
			sent = err == nil
			return err
		},
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil && !sent {
		return nil, unsent{err}
	}
	return conn, err
}

// begin sends the SYN.
func begin(c syscall.RawConn, to syscall.Sockaddr) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = syscall.Connect(int(fd), to) }); e != nil {
		return e
	}
	if err == syscall.EINPROGRESS {
		return nil
	}
	return os.NewSyscallError("connect", err) // nil for nil
}

func sockaddr(a netip.AddrPort) syscall.Sockaddr {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()} // no zone: balancer.Spec.Validate refuses it
}

// unsent is an error from before anything was sent.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

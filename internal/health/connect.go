package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
)

// connect is the Prober's way to dial. It differs from [net.Dialer.DialContext] in one
// thing: an error that came before anything was on its way is unsent.
//
// To know that it makes the socket's connect(2) itself, from the dialler's hook. As the
// socket does not block, the call returns before any answer is looked at: EINPROGRESS
// if a SYN is on its way, and otherwise what this machine has against it
// (__inet_stream_connect in net/ipv4/af_inet.c). The dialler's own connect(2), right
// after, finds the connection under way (EALREADY) and waits for it; what the network
// says comes by that, or by SO_ERROR. Of what opens no connection nothing is sent here.
func connect(ctx context.Context, t *Target) (net.Conn, error) {
	sent := false
	d := net.Dialer{
		KeepAlive: -1, // a probe is over long before
		ControlContext: func(_ context.Context, _, _ string, c syscall.RawConn) error {
			err := begin(c, t)
			sent = err == nil && t.Type.OpensTCP()
			return err
		},
	}
	network, address := t.network(), t.Address.String()
	if t.Type == balancer.HealthICMP {
		address = t.Address.Addr().String()
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil && !sent {
		return nil, unsent{err}
	}
	return conn, err
}

// network names what is spoken with the target, for the dialler.
func (t *Target) network() string {
	switch {
	case t.Type == balancer.HealthICMP && t.Address.Addr().Is4():
		return "ip4:icmp"
	case t.Type == balancer.HealthICMP:
		return "ip6:ipv6-icmp"
	case t.Type.OpensTCP():
		return "tcp"
	}
	return "udp"
}

// begin prepares the socket, and sends the SYN if there is one.
func begin(c syscall.RawConn, t *Target) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		if err = prepare(int(fd), t); err == nil {
			err = os.NewSyscallError("connect", syscall.Connect(int(fd), sockaddr(t.Address)))
		}
	}); e != nil {
		return e
	}
	if errors.Is(err, syscall.EINPROGRESS) {
		return nil
	}
	return err
}

// prepare binds the socket to the source that the user wants, if any. What has no connection
// is to hear what the network says of its packets, all of it (ip(7), IP_RECVERR).
func prepare(fd int, t *Target) error {
	level, hears := unix.SOL_IP, unix.IP_RECVERR
	if t.Address.Addr().Is6() {
		level, hears = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	if !t.Type.OpensTCP() {
		if err := unix.SetsockoptInt(fd, level, hears, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if t.Type == balancer.HealthICMP {
		if err := onlyEchoReplies(fd, t.Address.Addr().Is4()); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if !t.Source.IsValid() {
		return nil
	}
	// The port is chosen by connect(2), which knows the other end: bind would want one that
	// is nobody's.
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err := syscall.Bind(fd, sockaddr(netip.AddrPortFrom(t.Source, 0))); err != nil {
		return fmt.Errorf("ask from %v: %w", t.Source, os.NewSyscallError("bind", err))
	}
	return nil
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

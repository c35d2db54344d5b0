package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// GUEPort is where a host that takes packets out of tunnels expects GUE.
const GUEPort = 6080

// TunnelEnd is what the names of the devices begin with by which they come to its kernel.
const TunnelEnd = "decap"

// Decapsulate has the host take packets out of tunnels, whoever they are from: out of IPv4
// and IPv6, GRE, and UDP at [GUEPort] (fou, and GUE of both variants). It does so in user
// space, and needs of the kernel no more than a TUN device: what a plain kernel lacks is
// its own tunnels.
func (h *Host) Decapsulate() error {
	tun, err := h.openTUN(TunnelEnd + "-tun")
	if err != nil {
		return fmt.Errorf("take packets out of tunnels on %s: %w", h.Name, err)
	}
	var all sync.WaitGroup
	var sockets []net.PacketConn
	h.onClose(func() error {
		var errs []error
		for _, s := range sockets {
			errs = append(errs, s.Close())
		}
		all.Wait()
		return errors.Join(append(errs, tun.Close())...)
	})
	for _, from := range []struct {
		network, address string
		strip            func([]byte) []byte
	}{
		{"ip4:4", "0.0.0.0", whole}, {"ip4:41", "0.0.0.0", whole}, {"ip4:47", "0.0.0.0", behindGRE},
		{"ip6:4", "::", whole}, {"ip6:41", "::", whole}, {"ip6:47", "::", behindGRE},
		{"udp", fmt.Sprint(":", GUEPort), behindGUE},
	} {
		s, err := h.listenTunnel(from.network, from.address)
		if err != nil {
			return fmt.Errorf("take packets out of tunnels on %s: %w", h.Name, err)
		}
		sockets = append(sockets, s)
		all.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				n, _, err := s.ReadFrom(buf)
				if err != nil {
					return // closed
				}
				_, _ = tun.Write(from.strip(buf[:n])) // what is no packet is refused
			}
		})
	}
	return nil
}

func whole(b []byte) []byte { return b }

// behindGRE returns what follows a GRE header without options (RFC 2784).
func behindGRE(b []byte) []byte { return b[min(4, len(b)):] }

// behindGUE returns what follows the GUE header, which variant 1 does not have
// (draft-ietf-intarea-gue).
func behindGUE(b []byte) []byte {
	if len(b) > 0 && b[0]>>6 == 0 {
		return b[min(4+4*int(b[0]&31), len(b)):]
	}
	return b
}

// Decapsulated returns how many packets have come out of tunnels that end here, in user space or
// in the kernel.
func (h *Host) Decapsulated() (n uint64, err error) {
	links, err := h.link.LinkList()
	if err != nil {
		return 0, fmt.Errorf("count what comes out of tunnels at %s: %w", h.Name, err)
	}
	for _, l := range links {
		if a := l.Attrs(); strings.HasPrefix(a.Name, TunnelEnd) {
			n += a.Statistics.RxPackets
		}
	}
	return n, nil
}

// listenTunnel opens a socket that takes UDP without a checksum in IPv6, too (RFC 6935).
func (h *Host) listenTunnel(network, address string) (s net.PacketConn, err error) {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) (err error) {
		if network != "udp6" {
			return nil
		}
		if cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1) }); cerr != nil {
			return cerr
		}
		return err
	}}
	err = h.Do(func() error {
		s, err = config.ListenPacket(context.Background(), network, address)
		return err
	})
	return s, err
}

// openTUN makes a TUN device that is up. What is written to it comes to the host's kernel.
func (h *Host) openTUN(name string) (f *os.File, err error) {
	err = h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("make TUN device %s: %w", name, err)
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := h.setUp(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

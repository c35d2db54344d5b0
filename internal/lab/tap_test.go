package lab

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// tap is a packet socket on a host's interface: it sees what an XDP program sees,
// without the notes that say which work on a packet is left to do.
type tap struct {
	fd, ifindex int
}

func newTap(t *testing.T, h *Host) *tap {
	t.Helper()
	l, err := h.Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{ifindex: l.Attrs().Index}
	err = h.Do(func() (err error) {
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, htons(unix.ETH_P_ALL))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p.fd) })
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: uint16(htons(unix.ETH_P_ALL)), Ifindex: p.ifindex}); err != nil {
		t.Fatal(err)
	}
	return p
}

func htons(n uint16) int { return int(n>>8 | n<<8&0xff00) }

// received returns all frames that have come in by now, sent those that went out.
func (p *tap) received(t *testing.T) [][]byte {
	in, _ := p.drain(t)
	return in
}

func (p *tap) sent(t *testing.T) [][]byte {
	_, out := p.drain(t)
	return out
}

func (p *tap) drain(t *testing.T) (in, out [][]byte) {
	t.Helper()
	buf := make([]byte, 1<<17)
	for {
		n, from, err := unix.Recvfrom(p.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return in, out
		case err == unix.EINTR:
		case err != nil:
			t.Fatal(err)
		case from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING:
			out = append(out, append([]byte(nil), buf[:n]...))
		default:
			in = append(in, append([]byte(nil), buf[:n]...))
		}
	}
}

func hardwareAddr(t *testing.T, h *Host) net.HardwareAddr {
	t.Helper()
	return hardwareAddrOf(t, h, Interface)
}

func hardwareAddrOf(t *testing.T, h *Host, name string) net.HardwareAddr {
	t.Helper()
	l, err := h.Netlink().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().HardwareAddr
}

// newInjector is an injector of a host's interface.
func newInjector(t *testing.T, h *Host) *Injector {
	t.Helper()
	i, err := h.Injector(Interface)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// injectUDP sends a datagram to a host's MAC address.
func injectUDP(t *testing.T, by *Injector, to *Host, src, dst netip.AddrPort, payload string) {
	t.Helper()
	f := packettest.UDP(src.String(), dst.String(), payload)
	f.SrcMAC, f.DstMAC = packet.MAC(by.MAC), packet.MAC(hardwareAddr(t, to))
	if err := by.Inject(f.Bytes()); err != nil {
		t.Fatal(err)
	}
}

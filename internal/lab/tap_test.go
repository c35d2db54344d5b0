package lab

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
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

func udpFrame(t *testing.T, src, dst net.HardwareAddr, from, to netip.AddrPort, payload string) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeIPv4}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	} = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	if to.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package lab

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// unfinished says what a frame of TCP or UDP lacks to go on a wire, "" if nothing.
// ok is false for other frames.
func unfinished(frame []byte, mtu int) (lacks string, ok bool) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	n, tr := p.NetworkLayer(), p.TransportLayer()
	if n == nil || tr == nil {
		return "", false
	}
	proto := uint32(unix.IPPROTO_TCP)
	if tr.LayerType() == layers.LayerTypeUDP {
		proto = unix.IPPROTO_UDP
	}
	if size := len(n.LayerContents()) + len(n.LayerPayload()); size > mtu {
		return fmt.Sprintf("%d bytes are more than the MTU", size), true
	}
	// RFC 1071: summed up with the pseudo-header, all is ones.
	src, dst := n.NetworkFlow().Endpoints()
	sum := proto + uint32(len(n.LayerPayload()))
	for _, b := range [][]byte{src.Raw(), dst.Raw(), append(n.LayerPayload()[:len(n.LayerPayload()):len(n.LayerPayload())], 0)} {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
			sum = sum>>16 + sum&0xffff
		}
	}
	if sum != 0xffff {
		return fmt.Sprintf("its checksum is wrong, the sum is %#x", sum), true
	}
	return "", true
}

// Who takes packets at the balancer by XDP gets them finished, whatever the
// endpoints leave to their interface. That the endpoints do leave work is seen at
// the client, which gets what the balancer's own kernel sent.
func TestFramesAreFinishedAtTheBalancer(t *testing.T) {
	for _, xdp := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "native XDP"}[xdp], func(t *testing.T) {
			l := newLab(t, Options{Queues: 4})
			if xdp {
				attachPass(t, l.Balancer)
				// To receive by NAPI brings GRO with it, which would merge what XDP
				// has seen apart.
				if err := l.Balancer.SetFeature(Interface, "rx-gro", false); err != nil {
					t.Fatal(err)
				}
			}
			balancer, client := newTap(t, l.Balancer), newTap(t, l.Clients[0])
			for _, to := range []netip.Addr{BalancerAddr(), nth(clients6, gateway)} {
				exchange(t, l, to)
			}
			seen := 0
			for _, f := range balancer.received(t) {
				lacks, ok := unfinished(f, 1500)
				if !ok {
					continue
				}
				if seen++; lacks != "" {
					t.Fatalf("frame %d at the balancer: %s", seen, lacks)
				}
			}
			if atLeast := 2 * exchanged / 1500; seen < atLeast {
				t.Errorf("%d frames seen, there must have been %d", seen, atLeast)
			}
			undone := 0
			for _, f := range client.received(t) {
				if lacks, ok := unfinished(f, 1500); ok && lacks != "" {
					undone++
				}
			}
			if undone == 0 {
				t.Error("the client gets finished frames only: either endpoints do not offload, or the check does not see it")
			}
		})
	}
}

const exchanged = 1 << 20

// exchange sends bytes from the client to the balancer and back, by TCP and some by UDP.
func exchange(t *testing.T, l *Lab, to netip.Addr) {
	t.Helper()
	err := l.Balancer.ServeTCP(netip.AddrPortFrom(to, 7).String(), func(c net.Conn) {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, exchanged))
		_, _ = io.Copy(c, io.LimitReader(&Stream{}, exchanged))
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Clients[0].Dial(t.Context(), "tcp", netip.AddrPortFrom(to, 7).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.Copy(c, io.LimitReader(&Stream{}, exchanged)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); n != exchanged || err != nil {
		t.Fatalf("%d bytes came back, %v", n, err)
	}
	if err := l.Balancer.UDPEcho(netip.AddrPortFrom(to, 7).String(), "b"); err != nil {
		t.Fatal(err)
	}
	ask(t, l.Clients[0], netip.AddrPortFrom(to, 7), "hello", "b hello")
}

// ask sends a datagram and awaits the answer.
func ask(t *testing.T, from *Host, to netip.AddrPort, question, want string) {
	t.Helper()
	c, err := from.Dial(t.Context(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(question)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, want)
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 1500)
	if n, err := c.Read(b); err != nil || string(b[:n]) != want {
		t.Errorf("got %q, %v; want %q", b[:n], err, want)
	}
}

// attachPass puts a program on a host's interface that lets everything pass.
func attachPass(t *testing.T, h *Host) {
	t.Helper()
	i, err := h.Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* XDP_PASS */), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	err = h.Do(func() error {
		x, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Attrs().Index, Flags: link.XDPDriverMode})
		if err == nil {
			t.Cleanup(func() { x.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatalf("attach in native mode: %v", err)
	}
	if i, err = h.Netlink().LinkByName(Interface); err != nil || i.Attrs().Xdp == nil || i.Attrs().Xdp.AttachMode != nl.XDP_ATTACHED_DRV {
		t.Fatalf("attached as %+v, %v; want native mode", i.Attrs().Xdp, err)
	}
}

// What the balancer sends as a raw frame arrives, though its source is foreign.
func TestRawFramesReachTheEndpoints(t *testing.T) {
	l := newLab(t, Options{Clients: 2, Backends: 2, Queues: 2})
	attachPass(t, l.Balancer)
	out := newInjector(t, l.Balancer)
	foreign4, foreign6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:2::10")
	for _, to := range []struct {
		host *Host
		addr netip.Addr
	}{
		{l.Clients[1], ClientAddr(1)}, {l.Clients[1], ClientAddr6(1)},
		{l.Backends[1], BackendAddr(1)}, {l.Backends[1], BackendAddr6(1)},
	} {
		s, err := to.host.ListenPacket("udp", netip.AddrPortFrom(to.addr, 9).String())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		from := netip.AddrPortFrom(foreign4, 99)
		if to.addr.Is6() {
			from = netip.AddrPortFrom(foreign6, 99)
		}
		injectUDP(t, out, to.host, from, netip.AddrPortFrom(to.addr, 9), "hello "+to.addr.String())
		_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 1500)
		n, sender, err := s.ReadFrom(b)
		if err != nil || string(b[:n]) != "hello "+to.addr.String() || sender.String() != from.String() {
			t.Errorf("%v got %q from %v, %v", to.addr, b[:n], sender, err)
		}
	}
}

// A backend that holds a service's address keeps quiet about it: it answers the
// second of two questions, not the first. IPv6 does so by itself.
func TestBackendsKeepQuietAboutVIPs(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.10")
	l := newLab(t, Options{VIPs: []netip.Addr{vip}})
	c, question := newTap(t, l.Clients[0]), newInjector(t, l.Clients[0])
	for _, a := range []netip.Addr{vip, BackendAddr(0)} {
		b := gopacket.NewSerializeBuffer()
		mac := question.MAC
		err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{},
			&layers.Ethernet{SrcMAC: mac, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{
				AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
				SourceHwAddress: mac, SourceProtAddress: ClientAddr(0).AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: a.AsSlice(),
			})
		if err != nil {
			t.Fatal(err)
		}
		if err := question.Inject(b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if ready == 0 || err != nil {
			t.Fatalf("nobody answers: %v", err)
		}
		for _, f := range c.received(t) {
			arp, ok := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.NoCopy).Layer(layers.LayerTypeARP).(*layers.ARP)
			if !ok || arp.Operation != layers.ARPReply {
				continue
			}
			switch net.IP(arp.SourceProtAddress).String() {
			case vip.String():
				t.Fatal("a backend answers ARP for a service's address")
			case BackendAddr(0).String():
				return
			}
		}
	}
}

// In dsr a backend gets the client's packet as it is, and its answer, from the
// service's address, goes past the balancer straight to the client.
func TestBackendsAnswerDirectly(t *testing.T) {
	vip4, vip6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:2::10")
	l := newLab(t, Options{VIPs: []netip.Addr{vip4, vip6}})
	out := newInjector(t, l.Balancer)
	for vip, client := range map[netip.Addr]netip.Addr{vip4: ClientAddr(0), vip6: ClientAddr6(0)} {
		service, asker := netip.AddrPortFrom(vip, 7), netip.AddrPortFrom(client, 99)
		if err := l.Backends[0].UDPEcho(service.String(), "b"); err != nil {
			t.Fatal(err)
		}
		var c net.Conn
		err := l.Clients[0].Do(func() (err error) {
			c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(asker), net.UDPAddrFromAddrPort(service))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		injectUDP(t, out, l.Backends[0], asker, service, "hello")
		expect(t, c, "b hello")
	}
}

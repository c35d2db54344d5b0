package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/testutil"
)

// What comes in any kind of tunnel comes to a socket of the host.
func TestDecapsulate(t *testing.T) {
	testutil.RequireRoot(t)
	vip4, vip6 := netip.MustParseAddr("192.0.2.20"), netip.MustParseAddr("2001:db8:2::20")
	l, err := New(Options{VIPs: []netip.Addr{vip4, vip6}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := l.Backends[0]
	if err := b.Decapsulate(); err != nil {
		t.Fatal(err)
	}
	for _, vip := range []netip.Addr{vip4, vip6} {
		server, err := b.ListenPacket("udp", netip.AddrPortFrom(vip, 7777).String())
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		inner := datagram(t, vip)
		version, etherType := "4", []byte{0, 0, 0x08, 0}
		if vip.Is6() {
			version, etherType = "41", []byte{0, 0, 0x86, 0xdd}
		}
		for _, to := range []netip.Addr{BackendAddr(0), BackendAddr6(0)} {
			ip := "ip4:"
			if to.Is6() {
				ip = "ip6:"
			}
			proto := map[string]byte{"4": 4, "41": 41}[version]
			for _, one := range []struct {
				network string
				header  []byte
			}{{ip + version, nil}, {ip + "47", etherType}, {"udp", nil}, {"udp", []byte{0, proto, 0, 0}}} {
				address := to.String()
				if one.network == "udp" {
					address = netip.AddrPortFrom(to, GUEPort).String()
				}
				c, err := l.Balancer.Dial(t.Context(), one.network, address)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write(append(one.header, inner...)); err != nil {
					t.Fatal(err)
				}
				c.Close()
				if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 100)
				n, from, err := server.ReadFrom(buf)
				if err != nil || string(buf[:n]) != "inside" || from.(*net.UDPAddr).Port != 4000 {
					t.Errorf("%s to %s, header %x: %q from %v, %v", one.network, address, one.header, buf[:n], from, err)
				}
			}
		}
	}
}

// datagram returns a packet of a client's to port 7777 of an address.
func datagram(t *testing.T, to netip.Addr) []byte {
	t.Helper()
	udp := &layers.UDP{SrcPort: 4000, DstPort: 7777}
	var ip gopacket.SerializableLayer
	var err error
	if to.Is4() {
		four := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: ClientAddr(0).AsSlice(), DstIP: to.AsSlice()}
		ip, err = four, udp.SetNetworkLayerForChecksum(four)
	} else {
		six := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: ClientAddr6(0).AsSlice(), DstIP: to.AsSlice()}
		ip, err = six, udp.SetNetworkLayerForChecksum(six)
	}
	if err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload("inside")); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestBehindGUE(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"\x45rest", "\x45rest"}, {"\x60rest", "\x60rest"}, {"\x00\x04\x00\x00\x45rest", "\x45rest"},
		{"\x01\x04\x00\x00OPTS\x45rest", "\x45rest"}, {"\x1f\x04", ""}, {"", ""},
	} {
		if got := string(behindGUE([]byte(test.in))); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
	if n := binary.Size(behindGRE([]byte{1})); n != 0 {
		t.Errorf("%d bytes behind a cut GRE header", n)
	}
}

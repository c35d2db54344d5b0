package announce

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	here, there = [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	four, six   = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::12:3456")
)

// What is sent is what the RFCs say, as another implementation reads it.
func TestFrames(t *testing.T) {
	for _, f := range [][]byte{asking(here, four), telling(here, four)} {
		p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
		a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if !ok || a.Operation != layers.ARPRequest || [6]byte(a.SourceHwAddress) != here || netip.AddrFrom4([4]byte(a.DstProtAddress)) != four {
			t.Errorf("%v", p)
		}
	}
	for _, c := range []struct {
		frame             []byte
		to, src, dst, mac string
		typ               layers.ICMPv6TypeCode
	}{
		{asking(here, six), "33:33:ff:12:34:56", "::", "ff02::1:ff12:3456", "", layers.CreateICMPv6TypeCode(135, 0)},
		{telling(here, six), "33:33:00:00:00:01", six.String(), "ff02::1", "", layers.CreateICMPv6TypeCode(136, 0)},
	} {
		p := gopacket.NewPacket(c.frame, layers.LayerTypeEthernet, gopacket.Default)
		ip, ok := p.NetworkLayer().(*layers.IPv6)
		if !ok || ip.HopLimit != 255 || ip.SrcIP.String() != c.src || ip.DstIP.String() != c.dst || p.LinkLayer().(*layers.Ethernet).DstMAC.String() != c.to {
			t.Errorf("%v", p)
			continue
		}
		icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if want := icmp.Checksum; icmp.TypeCode != c.typ || checksum(t, ip, icmp) != want {
			t.Errorf("%v: checksum %#x", p, want)
		}
	}
}

// checksum returns what another implementation makes of it.
func checksum(t *testing.T, ip *layers.IPv6, icmp *layers.ICMPv6) uint16 {
	t.Helper()
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, gopacket.Payload(icmp.Payload)); err != nil {
		t.Fatal(err)
	}
	return uint16(b.Bytes()[2])<<8 | uint16(b.Bytes()[3])
}

func TestParseClaim(t *testing.T) {
	bare := neighbour(here, there, six, allNodes, neighbourAdvertisement, 0, six)[:icmpOptions]
	far := telling(there, six)
	far[21] = 254
	for name, c := range map[string]struct {
		frame []byte
		want  claim
		ok    bool
	}{
		"gratuitous":           {telling(there, four), claim{four, there, false}, true},
		"a probe":              {asking(there, four), claim{four, there, true}, true},
		"any request":          {arp(there, four, netip.MustParseAddr("192.0.2.77")), claim{four, there, false}, true},
		"an advertisement":     {telling(there, six), claim{six, there, false}, true},
		"without the option":   {bare, claim{six, there, false}, true},
		"a solicitation":       {asking(there, six), claim{}, false},
		"from beyond a link":   {far, claim{}, false},
		"cut":                  {telling(there, four)[:arpEnd-1], claim{}, false},
		"an advertisement cut": {telling(there, six)[:icmpOptions-1], claim{}, false},
		"nothing":              {nil, claim{}, false},
	} {
		if got, ok := parseClaim(c.frame); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
}

// Whatever comes by a link, a claim is what the frame says, and nothing is read beyond it.
func FuzzParseClaim(f *testing.F) {
	for _, frame := range [][]byte{telling(there, four), asking(there, four), telling(there, six), asking(there, six)} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := parseClaim(frame); ok && !c.address.IsValid() {
			t.Errorf("%x: %+v", frame, c)
		}
	})
}

package trace

import (
	"errors"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"tcp 198.51.100.7:40000 > 192.0.2.10:80":                                               "tcp 198.51.100.7:40000 > 192.0.2.10:80 flags S",
		"tcp 198.51.100.7:40000 192.0.2.10:80":                                                 "tcp 198.51.100.7:40000 > 192.0.2.10:80 flags S",
		" TCP 198.51.100.7:40000->192.0.2.10:80 ":                                              "tcp 198.51.100.7:40000 > 192.0.2.10:80 flags S",
		"tcp 198.51.100.7:1 > 192.0.2.10:80 flags S.":                                          "tcp 198.51.100.7:1 > 192.0.2.10:80 flags SA",
		"tcp 198.51.100.7:1 > 192.0.2.10:80 flags fin,ack":                                     "tcp 198.51.100.7:1 > 192.0.2.10:80 flags FA",
		"tcp 198.51.100.7:1 > 192.0.2.10:80 flags SEW":                                         "tcp 198.51.100.7:1 > 192.0.2.10:80 flags SEW", // tcpdump's [SEW], with which ECN begins
		"tcp 198.51.100.7:1 > 192.0.2.10:80 flags ack,urg":                                     "tcp 198.51.100.7:1 > 192.0.2.10:80 flags AU",
		"tcp 198.51.100.7:1 > 192.0.2.10:80 flags -":                                           "tcp 198.51.100.7:1 > 192.0.2.10:80 flags -",
		"udp [2001:db8::7]:1 > [2001:db8::10]:53 length 100 vlan 5 vlan 6":                     "udp [2001:db8::7]:1 > [2001:db8::10]:53 length 100 vlan 5 vlan 6",
		"icmp 198.51.100.7 > 192.0.2.10 ttl 3":                                                 "icmp 198.51.100.7 > 192.0.2.10 ttl 3",
		"icmp 2001:db8::7 2001:db8::10":                                                        "icmp 2001:db8::7 > 2001:db8::10",
		"tcp 1.2.3.4:5 > 6.7.8.9:10 seq 7 ack 8 df more offset 16 id 9 from 02:00:00:00:00:0b": "tcp 1.2.3.4:5 > 6.7.8.9:10 flags S seq 7 ack 8 offset 16 id 9 from 02:00:00:00:00:0b df more",
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, s.String(), err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                              "want one as in",
		"tcp 198.51.100.7:1":                            "want one as in",
		"sctp 198.51.100.7:1 192.0.2.10:80":             "want tcp, udp or icmp",
		"tcp 198.51.100.7 192.0.2.10:80":                "want an address and a port",
		"tcp 198.51.100.7:1 [2001:db8::1]:80":           "two families",
		"icmp 198.51.100.7:1 192.0.2.10":                "ICMP has no ports",
		"tcp 1.2.3.4:5 6.7.8.9:10 flags X":              "want letters",
		"tcp 1.2.3.4:5 6.7.8.9:10 flags":                "want letters",
		"udp 1.2.3.4:5 6.7.8.9:10 flags S":              "are of TCP",
		"icmp 1.2.3.4 6.7.8.9 seq 5":                    "are of TCP",
		"tcp 1.2.3.4:5 6.7.8.9:10 length 99999":         "up to 3000",
		"tcp 1.2.3.4:5 6.7.8.9:10 vlan 5000":            "up to 4095",
		"tcp 1.2.3.4:5 6.7.8.9:10 offset 7":             "multiple of 8",
		"tcp 1.2.3.4:5 6.7.8.9:10 from x":               "MAC",
		"tcp 1.2.3.4:5 6.7.8.9:10 colour red":           "want flags, length",
		"tcp [fe80::1%eth0]:5 [fe80::2]:10":             "want an address and a port",
		"tcp [2001:db8::1]:5 [2001:db8::2]:10 df":       "of IPv4",
		"tcp 1.2.3.4:5 6.7.8.9:10 vlan 1 vlan 2 vlan 3": "more than two",
		strings.Repeat("x", 2000):                       "1024 at most",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %q", text, err, want)
		}
	}
}

// TestFrame: what a description becomes is what another implementation reads in it, with right
// checksums.
func TestFrame(t *testing.T) {
	to, from := packet.MAC{2, 0, 0, 0, 0, 2}, packet.MAC{2, 0, 0, 0, 0, 1}
	for _, text := range []string{
		"tcp 198.51.100.7:40000 > 192.0.2.10:80 flags SA seq 5 ack 6 length 3", "udp 198.51.100.7:40000 > 192.0.2.10:53 length 7 vlan 5",
		"tcp [2001:db8::7]:1 > [2001:db8::10]:80 vlan 5 vlan 6", "udp [2001:db8::7]:1 > [2001:db8::10]:53 length 1000 ttl 9",
		"icmp 198.51.100.7 > 192.0.2.10", "icmp 2001:db8::7 > 2001:db8::10 length 56",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		b := s.Frame(to, from)
		f := packettest.Verify(t, b)
		if f.Src != s.Src || f.Dst != s.Dst || f.TTL != s.TTL || len(f.Payload) != s.Payload || len(f.VLANs) != len(s.VLANs) || f.DstMAC != to || f.SrcMAC != from {
			t.Errorf("%s is %+v", text, f)
		}
		if s.Proto == packet.ProtoTCP && (f.Flags != s.Flags || f.Seq != s.Seq || f.Ack != s.Ack) {
			t.Errorf("%s is %+v", text, f)
		}
		var p packet.Packet
		if v := packet.Parse(b, &p); v != packet.Pending {
			t.Errorf("%s is %v", text, v)
		}
	}
	s, err := Parse("udp 198.51.100.7:1 > 192.0.2.10:53 offset 1480 length 8 more id 7")
	if err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	b := s.Frame(to, from)
	if v := packet.Parse(b, &p); v != packet.DropFragment || p.Part != packet.Later {
		t.Errorf("a fragment is %v", v)
	}
	if at, v := p.Place(b); v != packet.Pending || at.From != 1480 || at.To != 1488 || at.ID != 7 || at.Last {
		t.Errorf("a fragment is at %+v, %v", at, v)
	}
}

// FuzzParse: any text is a packet or an error that says why; a packet is written as one that is
// read as the same, and is understood as a frame.
func FuzzParse(f *testing.F) {
	f.Add("tcp 198.51.100.7:40000 > 192.0.2.10:80 flags SA length 100 vlan 5 ttl 64")
	f.Add("udp [2001:db8::7]:1 > [2001:db8::10]:53 from 02:00:00:00:00:0b")
	f.Add("icmp 1.2.3.4 > 5.6.7.8 df more offset 8 id 0x10")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %q, and that is %q, %v", text, s.String(), again.String(), err)
		}
		var p packet.Packet
		switch v := packet.Parse(s.Frame(packet.MAC{2}, packet.MAC{2}), &p); v {
		case packet.Pending, packet.DropFragment, packet.DropICMP, packet.DropMartian:
		default:
			t.Fatalf("%q is %v", text, v)
		}
	})
}

package pcapfilter

import (
	"errors"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

var frames = func() map[string]packettest.Frame {
	syn := packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn)
	tagged := syn
	tagged.VLANs = []uint16{7, 100}
	return map[string]packettest.Frame{
		"syn": syn, "tagged": tagged,
		"answer": packettest.TCP("10.0.0.11:8080", "198.51.100.7:40000", packet.TCPSyn|packet.TCPAck),
		"dns":    packettest.UDP("[2001:db8::1]:53", "[2001:db8:2::10]:5353", strings.Repeat("x", 500)),
		"ping":   packettest.Echo("198.51.100.7", "192.0.2.10", 80),
	}
}()

// matching returns which of the frames an expression is for, in order of name; a damaged one too.
func matching(t *testing.T, expression string) string {
	t.Helper()
	f, err := Compile(expression)
	if err != nil {
		t.Fatalf("%q: %v", expression, err)
	}
	var list []string
	for _, name := range []string{"answer", "damaged", "dns", "ping", "syn", "tagged"} {
		raw := frames[name]
		b := make([]byte, 60)
		if name != "damaged" {
			b = raw.Bytes()
		}
		var p packet.Packet
		if v := packet.Parse(b, &p); v != packet.Pending {
			p = packet.Packet{}
		}
		if f(&p, b) {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func TestExpressions(t *testing.T) {
	const all = "answer damaged dns ping syn tagged"
	for expression, want := range map[string]string{
		"":                                       all,
		"  ":                                     all,
		"tcp":                                    "answer syn tagged",
		"udp":                                    "dns",
		"icmp":                                   "ping",
		"icmp6":                                  "",
		"ip":                                     "answer ping syn tagged",
		"ip6":                                    "dns",
		"host 198.51.100.7":                      "answer ping syn tagged",
		"src host 198.51.100.7":                  "ping syn tagged",
		"dst host 198.51.100.7":                  "answer",
		"src 198.51.100.7":                       "ping syn tagged",
		"src or dst host 198.51.100.7":           "answer ping syn tagged",
		"src and dst port 80":                    "",
		"src and dst net 0.0.0.0/0":              "answer ping syn tagged",
		"net 10.0.0.0/8":                         "answer",
		"dst net 2001:db8:2::/48":                "dns",
		"net ::/0":                               "dns",
		"host 2001:db8::1":                       "dns",
		"host ::":                                "",
		"not net ::/0 and not net 0.0.0.0/0":     "damaged",
		"port 80":                                "syn tagged",
		"tcp port 53":                            "",
		"udp port 53":                            "dns",
		"tcp dst port 80":                        "syn tagged",
		"tcp src host 10.0.0.11":                 "answer",
		"portrange 5000-9000":                    "answer dns",
		"udp portrange 5000-9000":                "dns",
		"dst portrange 80-81":                    "syn tagged",
		"vlan":                                   "tagged",
		"vlan 100":                               "tagged",
		"vlan 7":                                 "tagged",
		"vlan 8":                                 "",
		"not vlan and tcp":                       "answer syn",
		"vlan and port 80":                       "tagged",
		"greater 500":                            "dns",
		"less 60":                                "answer damaged syn",
		"not tcp":                                "damaged dns ping",
		"!tcp and !udp":                          "damaged ping",
		"! ( tcp or udp )":                       "damaged ping",
		"tcp or udp and ip6":                     "dns", // from the left, both alike
		"tcp or (udp and ip6)":                   "answer dns syn tagged",
		"tcp && dst port 80 || udp":              "dns syn tagged",
		"host 10.0.0.11 or 2001:db8::1":          "answer dns",
		"port 53 or 80":                          "dns syn tagged",
		"tcp port 53 or 80":                      "syn tagged",
		"tcp[tcpflags] & tcp-syn != 0":           "answer syn tagged",
		"tcp[tcpflags]&(tcp-syn|tcp-ack)==2":     "syn tagged",
		"tcp[tcpflags] == tcp-syn":               "syn tagged",
		"tcp[13] & 16 != 0":                      "answer",
		"tcp[tcpflags] & (tcp-syn|tcp-ack) = 18": "answer",
		"tcp[tcpflags] != (tcp-syn|tcp-ack)":     "syn tagged",
		"not tcp[tcpflags] & tcp-ack != 0 and ip": "ping syn tagged",
	} {
		if got := matching(t, expression); got != want {
			t.Errorf("%q is for %q, want %q", expression, got, want)
		}
	}
}

// TestFragments: of fragments but the first the ports are not known.
func TestFragments(t *testing.T) {
	f, err := Compile("port 0 or port 80")
	if err != nil {
		t.Fatal(err)
	}
	later := packet.Packet{Key: packet.Key{Proto: packet.ProtoTCP, DstPort: 80}, Part: packet.Later}
	if f(&later, nil) {
		t.Error("a later fragment has a port")
	}
	first := later
	first.Part = packet.First
	if !f(&first, nil) {
		t.Error("the first fragment has none")
	}
}

func TestWrongExpressions(t *testing.T) {
	for expression, want := range map[string]string{
		"foo":                          `word 1 is "foo"; want a protocol`,
		"host":                         "ends where there should be an IP address",
		"host example.com":             "want an IP address",
		"net 10.0.0.0":                 "want a network, as 10.0.0.0/8",
		"port http":                    "want a port",
		"port 70000":                   "want a port",
		"port 1-2":                     "want a port",
		"portrange 9-1":                "want a range of ports",
		"tcp and":                      "ends where there should be a protocol",
		"tcp udp":                      "want and, or, or the end",
		"(tcp":                         "ends where there should be a )",
		"tcp)":                         `word 2 is ")"`,
		"less x":                       "a number up to",
		"vlan 5000":                    "a number up to 4095",
		"tcp[0] == 1":                  "tcpflags",
		"tcp[tcpflags] & foo == 1":     "want flags",
		"tcp[tcpflags] > 1":            "want &, == or !=",
		"not":                          "ends where",
		strings.Repeat("(", 200):       "more than 100",
		strings.Repeat("tcp or ", 1e4): "4096 at most",
		"host fe80::1%eth0":            "want an IP address",
	} {
		if _, err := Compile(expression); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", expression, err, want)
		}
	}
}

// FuzzCompile: any text is an expression or a syntax error, and an expression is a question that
// any frame has an answer to, and its negation the other one.
func FuzzCompile(f *testing.F) {
	frame := frames["tagged"]
	f.Add("tcp[tcpflags] & (tcp-syn|tcp-ack) != 0 or not (host 10.0.0.11 and vlan 7)", frame.Bytes())
	f.Add("src or dst portrange 1-2 && greater 5 || icmp6", []byte{})
	f.Fuzz(func(t *testing.T, expression string, frame []byte) {
		filter, err := Compile(expression)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatal(err)
			}
			return
		}
		negated, err := Compile("not (" + expression + ")")
		if strings.TrimSpace(expression) == "" || len(expression) > MaxLength-10 {
			return
		}
		if err != nil && !strings.Contains(err.Error(), "more than") {
			t.Fatal(err)
		}
		var p packet.Packet
		if v := packet.Parse(frame, &p); v != packet.Pending && v != packet.DropICMP && v != packet.DropFragment {
			p = packet.Packet{}
		}
		if err == nil && filter(&p, frame) == negated(&p, frame) {
			t.Errorf("%q and its negation agree", expression)
		}
	})
}

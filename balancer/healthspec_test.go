package balancer

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What each type of check needs, and what it can't have, is named with its key.
func TestValidateHealthTypes(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, test := range []struct {
		name string
		h    HealthSpec
		want string // of the first problem; empty: there is none
	}{
		{"https", HealthSpec{Type: HealthHTTPS, Host: "www.example.com", CA: "/etc/ca.pem", Body: "ok"}, ""},
		{"https, any certificate", HealthSpec{Type: HealthHTTPS, Insecure: true}, ""},
		{"https, both", HealthSpec{Type: HealthHTTPS, Insecure: true, CA: "/ca.pem"}, "health.insecure: any certificate is good then"},
		{"https, relative", HealthSpec{Type: HealthHTTPS, CA: "ca.pem"}, `health.ca: "ca.pem" is no absolute path`},
		{"https, path", HealthSpec{Type: HealthHTTPS, Path: "up"}, `health.path: "up" is no path`},
		{"ca of http", HealthSpec{Type: HealthHTTP, CA: "/ca.pem"}, "health.ca: health type http has none; want type https, or no ca"},
		{"udp", HealthSpec{Type: HealthUDP, Send: "\x00ping", Receive: "pong"}, ""},
		{"udp, silent", HealthSpec{Type: HealthUDP}, ""},
		{"udp, too long", HealthSpec{Type: HealthUDP, Send: strings.Repeat("x", 1300)}, "health.send: 1300 bytes fit into no packet; want at most 1232"},
		{"udp, status", HealthSpec{Type: HealthUDP, Expect: []StatusRange{{200, 200}}}, "health.expect: health type udp has none; want type http or https"},
		{"expect of tcp", HealthSpec{Receive: "x"}, "health.expect: health type tcp has none; want type udp, or no expect"},
		{"send of dns", HealthSpec{Type: HealthDNS, Name: ".", Send: "x"}, "health.send: health type dns has none"},
		{"dns", HealthSpec{Type: HealthDNS, Name: "www.example.com.", Answer: "192.0.2.1"}, ""},
		{"dns, the root", HealthSpec{Type: HealthDNS, Name: ".", Query: QuerySOA, Rcodes: 1 << 5}, ""},
		{"dns, nothing", HealthSpec{Type: HealthDNS}, "health.name: missing"},
		{"dns, long", HealthSpec{Type: HealthDNS, Name: long + ".com"}, "is no name of DNS"},
		{"dns, empty label", HealthSpec{Type: HealthDNS, Name: "a..com"}, "is no name of DNS"},
		{"dns, blank", HealthSpec{Type: HealthDNS, Name: "a b"}, "is no name of DNS"},
		{"dns, longer", HealthSpec{Type: HealthDNS, Name: strings.Repeat("abc.", 64)}, "is no name of DNS"},
		{"dns, of the other family", HealthSpec{Type: HealthDNS, Name: "a", Query: QueryAAAA, Answer: "192.0.2.1"}, "is no address of a record of type AAAA"},
		{"dns, no address", HealthSpec{Type: HealthDNS, Name: "a", Answer: "b"}, "is no address of a record of type A"},
		{"dns, any text", HealthSpec{Type: HealthDNS, Name: "a", Query: QueryTXT, Answer: "v=spf1 -all"}, ""},
		{"dns, as dig prints it", HealthSpec{Type: HealthDNS, Name: "a", Query: 15, Answer: "10 mail.example.com"}, "is no name in a record of type MX; want the name alone"},
		{"dns, a name", HealthSpec{Type: HealthDNS, Name: "a", Query: 33, Answer: "sip.example.com."}, ""},
		{"https, a name that is no name of certificates", HealthSpec{Type: HealthHTTPS, Host: "bücher.example"}, "not in ASCII; want"},
		{"dns, of the root's", HealthSpec{Type: HealthDNS, Name: ".", Query: QuerySOA, Answer: "b"}, "records of type SOA are not looked into"},
		{"dns, of an error", HealthSpec{Type: HealthDNS, Name: "a", Rcodes: 1 << 3, Answer: "192.0.2.1"}, "with rcode nxdomain there is no answer"},
		{"icmp", HealthSpec{Type: HealthICMP}, ""},
		{"icmp, port", HealthSpec{Type: HealthICMP, Port: 7}, "health.port: health type icmp has none; want type tcp, http, https, udp or dns, or no port"},
		{"fast", HealthSpec{FastInterval: time.Second}, ""},
		{"faster than may be", HealthSpec{FastInterval: time.Millisecond}, "health.fast-interval: 1ms is no interval for when there is doubt"},
		{"slower", HealthSpec{FastInterval: time.Minute}, "want 10ms up to the interval of 5s"},
		{"source", HealthSpec{Sources: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}}, ""},
		{"two of a family", HealthSpec{Sources: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}}, "health.source: 10.0.0.1 and 10.0.0.2 are of one family"},
		{"no source", HealthSpec{Sources: []netip.Addr{netip.MustParseAddr("224.0.0.1")}}, "health.source: 224.0.0.1"},
		{"a service's", HealthSpec{Sources: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}, `health.source: 192.0.2.10 is the address of service`},
	} {
		s := validSpec()
		h := test.h
		h.Interval, h.Timeout, h.Rise, h.Fall = 5*time.Second, time.Second, 1, 1
		s.Services[1].Health = h
		got := s.Validate().Error()
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Only checks that open connections go through tunnels.
func TestValidateViaTunnel(t *testing.T) {
	for kind := range HealthType(len(healthTypeNames)) {
		s := validSpec()
		s.Services[0].Mode, s.Services[0].Backends = IPIP, s.Services[0].Backends[:0]
		h := HealthSpec{Type: kind, ViaTunnel: true, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}
		if kind == HealthDNS {
			h.Name = "."
		}
		s.Services[0].Health = h
		if got := s.Validate(); (len(got) == 0) != kind.OpensTCP() {
			t.Errorf("%v: %v", kind, got)
		}
	}
}

func TestDoubtful(t *testing.T) {
	for _, test := range []struct{ answers, doubts string }{
		{"+---", "-yy-"}, {"---++", "yy-y-"}, {"---+-", "yy-y-"}, {"---s-+++", "yy---yy-"},
	} {
		h, got := NewHealth(&HealthSpec{Rise: 2, Fall: 3}), ""
		if test.answers[3] == 's' {
			h = NewHealth(&HealthSpec{Rise: 3, Fall: 3})
		}
		for _, a := range test.answers {
			observe(&h, string(a))
			if h.Doubtful() {
				got += "y"
			} else {
				got += "-"
			}
		}
		if got != test.doubts {
			t.Errorf("%s: doubt %s, want %s", test.answers, got, test.doubts)
		}
	}
}

func TestNamesOfDNS(t *testing.T) {
	for want, text := range map[QueryType]string{1: "A", 28: "aaaa", 33: "SRV"} {
		if q, err := ParseQueryType(text); err != nil || q != want || !strings.EqualFold(q.String(), text) {
			t.Errorf("%s: %v, %v", text, q, err)
		}
	}
	if _, err := ParseQueryType("ANY"); err == nil {
		t.Error("ANY is asked for")
	}
	var r Rcodes
	if !r.Has(0) || r.Has(3) {
		t.Error("by default noerror is good, and nothing else")
	}
	for _, text := range []string{"refused", "nxdomain"} {
		one, err := ParseRcode(text)
		if err != nil {
			t.Fatal(err)
		}
		r |= one
	}
	if r.Has(0) || r.String() != "nxdomain, refused" {
		t.Errorf("%v", r)
	}
}

package balancer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// validSpec has something of everything that can be got wrong.
func validSpec() Spec {
	probe := HealthSpec{Type: HealthTCP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	web := HealthSpec{
		Type: HealthHTTP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1,
		Path: "/health", Host: "www.example.com", Expect: []StatusRange{{200, 204}, {301, 301}}, Body: "all is well",
	}
	return Spec{Services: []ServiceSpec{
		{
			Name: "web", Address: netip.MustParseAddr("192.0.2.10"), First: 80, Last: 80, Protocol: TCP, Health: web,
			Backends: []BackendSpec{
				{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Port: 8080, Weight: 1},
				{Name: "b", Address: netip.MustParseAddr("10.0.0.12"), Port: 8080, Weight: 65535},
				{Name: "b2", Address: netip.MustParseAddr("10.0.0.12"), Port: 8081},
			},
		},
		{
			Name: "dns", Address: netip.MustParseAddr("2001:db8:2::10"), First: 53, Last: 53, Protocol: UDP, Mode: DSR, Health: probe,
			Backends: []BackendSpec{
				{Name: "a", Address: netip.MustParseAddr("2001:db8:10::1"), Weight: 1},
				{Name: "b", Address: netip.MustParseAddr("2001:db8:10::2"), Port: 53, Weight: 1},
			},
		},
		{
			Name: "range", Address: netip.MustParseAddr("192.0.2.10"), First: 79, Last: 90, Protocol: TCP, Health: HealthSpec{Type: HealthNone},
			Backends: []BackendSpec{{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 1}},
		},
		{Name: "any", Address: netip.MustParseAddr("192.0.2.10"), First: 0, Last: MaxPort, Protocol: TCP, Health: probe},
	}}
}

func TestValidateAccepts(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(s *Spec)
	}{
		{"as it is", func(*Spec) {}},
		{"nothing at all", func(s *Spec) { s.Services = nil }},
		{"no backends", func(s *Spec) { s.Services[0].Backends = nil }},
		{"same port, other protocol", func(s *Spec) { s.Services[3].Protocol = UDP; s.Services[3].First, s.Services[3].Last = 80, 80 }},
		{"same port, other address", func(s *Spec) {
			s.Services[3].Address = netip.MustParseAddr("192.0.2.11")
			s.Services[3].First, s.Services[3].Last = 80, 80
		}},
		{"ranges side by side", func(s *Spec) { s.Services[3].First, s.Services[3].Last = 91, 100 }},
		{"two services share a backend", func(s *Spec) { s.Services[2].Backends[0] = s.Services[0].Backends[0] }},
		{"health port for a range", func(s *Spec) {
			s.Services[2].Health = s.Services[3].Health
			s.Services[2].Health.Port = 80
		}},
		{"one way for an address", func(s *Spec) { s.Services[0].Announce, s.Services[3].Announce = AnnounceARP, AnnounceARP }},
		{"a time to drain", func(s *Spec) { s.Services[0].DrainTime = time.Hour }},
		{"a tunnel", func(s *Spec) {
			s.Services[1].Mode, s.Services[1].Health.ViaTunnel = GUE, true
			s.Services[1].GUE = GUESpec{Port: 6080, Variant: 1, Checksum: true}
			s.Services[1].TunnelSources = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16"), netip.MustParsePrefix("2001:db8:64::1/128")}
			s.Services[1].Backends[0].Address = netip.MustParseAddr("10.0.0.21")
		}},
		{"no path", func(s *Spec) { s.Services[0].Health.Path = "" }},
		{"name with letters of the world", func(s *Spec) { s.Services[0].Name = "größe-网.1_a:b" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := validSpec()
			test.edit(&s)
			if problems := s.Validate(); len(problems) > 0 {
				t.Errorf("found problems:\n%v", problems)
			}
		})
	}
}

func TestValidateRefuses(t *testing.T) {
	addr := netip.MustParseAddr
	for _, test := range []struct {
		name string
		edit func(s *Spec)
		want string // "path: text"; further ones on lines of their own
	}{
		{"no name", func(s *Spec) { s.Services[1].Name = "" }, `services[1].name: missing; want a name`},
		{"name with a blank", func(s *Spec) { s.Services[1].Name = "a b" },
			`services[1].name: "a b" cannot be a name; want no blanks, slashes or unprintable characters`},
		{"name with a slash", func(s *Spec) { s.Services[1].Backends[0].Name = "a/b" },
			`services[1].backends[0].name: "a/b" cannot be a name; want no blanks, slashes or unprintable characters`},
		{"name that is not UTF-8", func(s *Spec) { s.Services[1].Name = "a\xff" },
			`services[1].name: "a\xff" cannot be a name; want no blanks, slashes or unprintable characters`},
		{"long name", func(s *Spec) { s.Services[1].Name = strings.Repeat("x", 129) },
			`services[1].name: 129 bytes are too long; want at most 128`},
		{"service name twice", func(s *Spec) { s.Services[2].Name = "web" },
			`services[2].name: "web" is the name of services[0] too; want another`},
		{"backend name twice", func(s *Spec) { s.Services[0].Backends[2].Name = "a" },
			`services[0].backends[2].name: "a" is the name of backends[0] too; want another`},
		{"no address", func(s *Spec) { s.Services[0].Address = netip.Addr{} },
			`services[0].address: missing; want an IPv4 or IPv6 address`},
		{"no backend address", func(s *Spec) { s.Services[0].Backends[1].Address = netip.Addr{} },
			`services[0].backends[1].address: missing; want an IPv4 or IPv6 address`},
		{"unspecified", func(s *Spec) { s.Services[0].Backends[0].Address = addr("0.0.0.0") },
			`services[0].backends[0].address: 0.0.0.0 is the unspecified address; want an address that one host can have on the network`},
		{"loopback", func(s *Spec) { s.Services[1].Backends[0].Address = addr("::1") },
			`services[1].backends[0].address: ::1 is a loopback address; want an address that one host can have on the network`},
		{"multicast", func(s *Spec) { s.Services[3].Address = addr("224.0.0.1") },
			`services[3].address: 224.0.0.1 is a multicast address; want an address that one host can have on the network`},
		{"broadcast", func(s *Spec) { s.Services[3].Address = addr("255.255.255.255") },
			`services[3].address: 255.255.255.255 is the broadcast address; want an address that one host can have on the network`},
		{"zone", func(s *Spec) { s.Services[1].Backends[0].Address = addr("fe80::1%eth0") },
			`services[1].backends[0].address: fe80::1%eth0 has a zone; want an address that one host can have on the network`},
		{"link-local VIP", func(s *Spec) { s.Services[3].Address = addr("169.254.1.1") },
			`services[3].address: 169.254.1.1 is a link-local address, which routers must not forward and which says nothing without an interface; want an address that is routed`},
		{"link-local backend", func(s *Spec) { s.Services[1].Backends[0].Address = addr("fe80::1") },
			`services[1].backends[0].address: fe80::1 is a link-local address, which routers must not forward and which says nothing without an interface; want an address that is routed`},
		{"mapped", func(s *Spec) { s.Services[0].Backends[0].Address = addr("::ffff:10.0.0.1") },
			`services[0].backends[0].address: ::ffff:10.0.0.1 is an IPv4 address in IPv6's clothes; want 10.0.0.1`},
		{"no such way", func(s *Spec) { s.Services[0].Announce = 3 }, `services[0].announce: unknown(3) is no way to announce; want none, local or arp`},
		{"two ways for an address", func(s *Spec) { s.Services[0].Announce, s.Services[3].Announce = AnnounceARP, AnnounceLocal },
			`services[3].announce: local is another way than that of service "web" for the same address 192.0.2.10, which is arp; want one for an address`},
		{"backwards", func(s *Spec) { s.Services[2].First, s.Services[2].Last = 90, 79 },
			`services[2].port: the range 90-79 runs backwards; want the lower port first`},
		{"port 0", func(s *Spec) { s.Services[1].First, s.Services[1].Last = 0, 0; s.Services[1].Backends = nil },
			`services[1].port: port 0 cannot be served; want 1 to 65535, or any`},
		{"range from 0", func(s *Spec) { s.Services[2].First = 0 },
			`services[2].port: port 0 cannot be served; want 1 to 65535, or any`},
		{"VIP twice", func(s *Spec) { s.Services[3].First, s.Services[3].Last = 80, 80 },
			`services[3].port: 80 overlaps 80 of service "web" at the same address and protocol; want another port, address or protocol`},
		{"ranges overlap", func(s *Spec) { s.Services[3].First, s.Services[3].Last = 90, 95 },
			`services[3].port: 90-95 overlaps 79-90 of service "range" at the same address and protocol; want another port, address or protocol`},
		{"any twice", func(s *Spec) { s.Services[2].First, s.Services[2].Last = 0, MaxPort },
			`services[3].port: any overlaps any of service "range" at the same address and protocol; want another port, address or protocol`},
		{"no protocol", func(s *Spec) { s.Services[3].Protocol = 0 },
			`services[3].protocol: unknown(0) cannot be balanced; want tcp or udp`},
		{"snat in nat", func(s *Spec) { s.Services[0].SnatAddresses = []netip.Addr{addr("10.0.0.5")} },
			`services[0].snat-addresses: mode nat leaves the source address alone; want no snat-addresses, they are for fullnat`},
		{"no such values", func(s *Spec) {
			s.Services[0].Algorithm, s.Services[0].OnNoBackend, s.Services[0].OnDown = 7, 2, 3
		}, `services[0].algorithm: unknown(7) is no algorithm; want one as in round-robin
services[0].on-no-backend: unknown(2) is no answer; want reject or drop
services[0].on-down: unknown(3) is no way to go on; want reassign, keep or reset`},
		{"backwards", func(s *Spec) { s.Services[1].DrainTime = -time.Second },
			`services[1].drain-time: -1s is no time to drain; want 0s or more`},
		{"families in nat", func(s *Spec) { s.Services[0].Backends[1].Address = addr("2001:db8:10::5") },
			`services[0].backends[1].address: 2001:db8:10::5 and the service's 192.0.2.10 are of different families, and mode nat does not translate; want an IPv4 address`},
		{"a tunnel's options in nat", func(s *Spec) {
			s.Services[0].TunnelSources, s.Services[0].Health.ViaTunnel = []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}, true
			s.Services[0].GUE.Port = 6080
		},
			`services[0].tunnel-source: mode nat has no tunnels; want no tunnel-source, it is for ipip or gue or gre
services[0].health.via: mode nat has no tunnels; want no via, it is for ipip or gue or gre
services[0].gue: mode nat has no UDP header; want mode gue, or no gue`},
		{"gue", func(s *Spec) {
			s.Services[1].Mode, s.Services[2].Mode = GUE, GUE
			s.Services[1].GUE, s.Services[2].GUE = GUESpec{Variant: 1}, GUESpec{Port: 1, Variant: 2}
		},
			`services[1].gue.port: port 0 cannot be sent to; want 1 to 65535
services[2].gue.variant: there is no variant 2; want 1, whose only header is UDP's as in Linux fou, or 0`},
		{"via a tunnel without a check", func(s *Spec) { s.Services[2].Mode, s.Services[2].Health.ViaTunnel = IPIP, true },
			`services[2].health.via: health type none does not go through a tunnel; want type tcp, http or https, or no via`},
		{"tunnel sources", func(s *Spec) {
			s.Services[2].Mode = IPIP
			for _, p := range []string{"10.9.0.0/31", "10.9.0.1/32", "192.0.2.0/24", "10.0.0.0/30", "2001::/3"} {
				s.Services[2].TunnelSources = append(s.Services[2].TunnelSources, netip.MustParsePrefix(p))
			}
			s.Services[2].TunnelSources = append(s.Services[2].TunnelSources, netip.Prefix{}, netip.MustParsePrefix("127.0.0.1/32"))
			s.Services[2].Backends[0].Address = addr("10.0.0.2")
		},
			`services[2].tunnel-source: 10.9.0.0/31 cannot be varied; want one address, or a network of /8 to /30
services[2].tunnel-source: 10.9.0.0/31 and 10.9.0.1/32 are of one family; want one address or network of each
services[2].tunnel-source: 192.0.2.0/24 has 192.0.2.10 in it, the address of service "any"; want addresses that are nobody else's
services[2].tunnel-source: 10.9.0.1/32 and 192.0.2.0/24 are of one family; want one address or network of each
services[2].tunnel-source: 10.0.0.0/30 has 10.0.0.2 in it, the address of backend "a"; want addresses that are nobody else's
services[2].tunnel-source: 192.0.2.0/24 and 10.0.0.0/30 are of one family; want one address or network of each
services[2].tunnel-source: 2001::/3 cannot be varied; want one address, or a network of /8 to /126
services[2].tunnel-source: 2001::/3 has 2001:db8:2::10 in it, the address of service "dns"; want addresses that are nobody else's
services[2].tunnel-source: missing; want an address or a network
services[2].tunnel-source: 127.0.0.1 is a loopback address; want an address that one host can have on the network`},
		{"families in dsr", func(s *Spec) { s.Services[1].Backends[0].Address = addr("10.0.0.5") },
			`services[1].backends[0].address: 10.0.0.5 and the service's 2001:db8:2::10 are of different families, and mode dsr does not translate; want an IPv6 address`},
		{"port in dsr", func(s *Spec) { s.Services[1].Backends[1].Port = 5353 },
			`services[1].backends[1].port: mode dsr delivers to the service's port 53, not to 5353; want no port here`},
		{"port of a range in dsr", func(s *Spec) { s.Services[2].Mode, s.Services[2].Backends[0].Port = DSR, 80 },
			`services[2].backends[0].port: mode dsr delivers to the service's port 79-90, not to 80; want no port here`},
		{"backend twice", func(s *Spec) { s.Services[0].Backends[2].Port = 8080 },
			`services[0].backends[2].address: 10.0.0.12 with the same port is backends[1] too; want each backend once, with a weight for its share`},
		{"backend twice by default port", func(s *Spec) { s.Services[1].Backends[0].Address = s.Services[1].Backends[1].Address },
			`services[1].backends[1].address: 2001:db8:10::2 with the same port is backends[0] too; want each backend once, with a weight for its share`},
		{"backend is a VIP", func(s *Spec) { s.Services[1].Backends[0].Address = addr("2001:db8:2::10") },
			`services[1].backends[0].address: 2001:db8:2::10 is the address of service "dns"; want the backend's own address`},
		{"health of a range", func(s *Spec) { s.Services[2].Health = s.Services[3].Health },
			`services[2].health.port: a service of several ports does not say which to probe; want a port here or at each backend, or health type icmp or none`},
		{"no type of health", func(s *Spec) { s.Services[1].Health.Type = 99 },
			`services[1].health.type: unknown(99) is none; want tcp, http, https, udp, dns, icmp or none`},
		{"health that says nothing", func(s *Spec) { s.Services[1].Health = HealthSpec{} },
			`services[1].health.interval: 0s is too short; want at least 10ms
services[1].health.timeout: 0s is no time to answer in; want more than 0s
services[1].health.rise: 0 answers cannot bring a backend up; want at least 1
services[1].health.fall: 0 answers cannot take a backend down; want at least 1`},
		{"timeout over interval", func(s *Spec) { s.Services[1].Health.Timeout = 6 * time.Second },
			`services[1].health.timeout: 6s is longer than the interval; want at most 5s`},
		{"path", func(s *Spec) { s.Services[0].Health.Path = "health" },
			`services[0].health.path: "health" is no path; want one that starts with a slash and has no blanks, as in /health`},
		{"path with another header", func(s *Spec) { s.Services[0].Health.Path = "/ HTTP/1.1\r\nX: y" },
			`services[0].health.path: "/ HTTP/1.1\r\nX: y" is no path; want one that starts with a slash and has no blanks, as in /health`},
		{"host", func(s *Spec) { s.Services[0].Health.Host = "http://a" },
			`services[0].health.host: "http://a" is no host; want a name without blanks and slashes, as in www.example.com`},
		{"status", func(s *Spec) { s.Services[0].Health.Expect[1] = StatusRange{300, 200} },
			`services[0].health.expect: 300-200 are no status codes; want codes from 100 to 599, the lower first`},
		{"http's options for tcp", func(s *Spec) {
			s.Services[1].Health.Path, s.Services[1].Health.Body = "/", "ok"
		},
			`services[1].health.path: health type tcp has none; want type http or https, or no path
services[1].health.body: health type tcp has none; want type http or https, or no body`},
		{"http's options for none", func(s *Spec) {
			s.Services[2].Health.Path, s.Services[2].Health.Body = "/", "ok"
		},
			`services[2].health.path: health type none has none; want type http or https, or no path
services[2].health.body: health type none has none; want type http or https, or no body`},
		{"all at once", func(s *Spec) { s.Services[0].First = 0; s.Services[1].Name = ""; s.Services[2].Name = "web" },
			`services[0].port: port 0 cannot be served; want 1 to 65535, or any
services[1].name: missing; want a name
services[2].name: "web" is the name of services[0] too; want another
services[2].port: 79-90 overlaps 0-80 of service "web" at the same address and protocol; want another port, address or protocol`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := validSpec()
			test.edit(&s)
			problems := s.Validate()
			if diff := cmp.Diff(test.want, problems.Error()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// Exactly the services that overlap an earlier one of their class, at the same
// address and protocol, are to be found, each with the first such one.
func TestClashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Spec
		for i := range rapid.IntRange(0, 8).Draw(t, "services") {
			service := ServiceSpec{
				Name:     fmt.Sprint(i),
				Address:  netip.AddrFrom4([4]byte{192, 0, 2, rapid.ByteRange(1, 2).Draw(t, "address")}),
				Protocol: rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"),
			}
			service.First = rapid.Uint16Range(1, 20).Draw(t, "first")
			service.Last = service.First + rapid.SampledFrom([]uint16{0, 0, 1, 5}).Draw(t, "more")
			if rapid.IntRange(0, 9).Draw(t, "any") == 0 {
				service.First, service.Last = 0, MaxPort
			}
			s.Services = append(s.Services, service)
		}
		want := map[int]int{}
		for i := range s.Services {
			for j := i - 1; j >= 0; j-- {
				a, b := &s.Services[i], &s.Services[j]
				if a.Address == b.Address && a.Protocol == b.Protocol && a.portClass() == b.portClass() &&
					a.First <= b.Last && b.First <= a.Last {
					want[i] = j
				}
			}
		}
		if diff := cmp.Diff(want, s.clashes()); diff != "" {
			t.Errorf("later and earlier service of each clash (-want +got):\n%s\nin %+v", diff, s)
		}
	})
}

func TestMoreThanATableHasRoomFor(t *testing.T) {
	var spec Spec
	for i := range 3 {
		s := ServiceSpec{
			Name: fmt.Sprint("s", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), First: 80, Last: 80, Protocol: TCP, Mode: DSR,
			Health: HealthSpec{Type: HealthNone},
		}
		for j := range 22_000 {
			s.Backends = append(s.Backends, BackendSpec{Name: fmt.Sprint("b", j), Address: netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)}), Weight: 1})
		}
		spec.Services = append(spec.Services, s)
	}
	if got := spec.Validate(); len(got) != 1 || !strings.Contains(got[0].Error(), "services: 66000 backends") {
		t.Errorf("66,000 backends: %v", got)
	}
	spec.Services = spec.Services[:2]
	if got := spec.Validate(); len(got) != 0 {
		t.Errorf("44,000 backends: %v", got)
	}
}

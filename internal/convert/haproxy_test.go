package convert

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

func TestHAProxyGrammar(t *testing.T) {
	for name, text := range map[string]string{
		"plain":           "listen a\n bind 192.0.2.1:80\n server s 10.0.0.1:80\n",
		"CRLF":            "listen a\r\n bind 192.0.2.1:80\r\n server s 10.0.0.1:80\r\n",
		"comments":        "# x\nlisten a # y\n bind 192.0.2.1:80# z\n server s 10.0.0.1:80\n",
		"quotes":          "listen \"a\"\n bind '192.0.2.1:80'\n server s\\\n 10.0.0.1:80\n",
		"old address":     "listen a 192.0.2.1:80\n server s 10.0.0.1:80\n",
		"variables":       "global\n setenv IP 192.0.2.1\nlisten a\n bind \"${IP}:80\"\n server s \"${NONE-10.0.0.1}:80\"\n",
		"bare variables":  "global\n presetenv IP 192.0.2.1\nlisten a\n bind $IP:80\n server s 10.0.0.1:80\n",
		"two sections":    "frontend a\n bind 192.0.2.1:80\n default_backend b\nbackend b\n server s 10.0.0.1:80\n",
		"of a listen":     "listen a\n bind 192.0.2.1:80\n default_backend b\n server x 10.0.0.9:80\nbackend b\n server s 10.0.0.1:80\n",
		"to a listen":     "frontend a\n bind 192.0.2.1:80\n default_backend b\nlisten b\n server s 10.0.0.1:80\n",
		"defaults":        "defaults d\n default-server weight 1\nlisten a from d\n bind 192.0.2.1:80\n server s 10.0.0.1:80\n",
		"own over common": "defaults\n mode http\nlisten a\n mode tcp\n bind 192.0.2.1:80\n server s 10.0.0.1:80\n",
	} {
		text = strings.Replace(text, "server s\\\n ", "server s ", 1)
		s, yaml := converted(t, text, world())
		if len(s) != 1 || s[0].Name != "a" || s[0].Address.String() != "192.0.2.1" || s[0].First != 80 || len(s[0].Backends) != 1 || s[0].Backends[0].Address.String() != "10.0.0.1" {
			t.Errorf("%s:\n%s", name, yaml)
		}
	}
}

func TestHAProxySettings(t *testing.T) {
	with := world()
	with.Address, with.Source = netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("10.0.0.5")
	one := func(inside string) (*balancer.ServiceSpec, string) {
		s, yaml := converted(t, "listen a\n bind :80\n"+inside+"\n", with)
		if len(s) != 1 {
			t.Fatalf("%s:\n%s", inside, yaml)
		}
		return &s[0], yaml
	}
	for inside, holds := range map[string]func(*balancer.ServiceSpec) bool{
		"": func(s *balancer.ServiceSpec) bool {
			return s.Mode == balancer.FullNAT && s.SnatAddresses[0] == with.Source && s.Address == with.Address && s.Algorithm == balancer.RoundRobin
		},
		"source 10.0.0.7":                func(s *balancer.ServiceSpec) bool { return s.SnatAddresses[0].String() == "10.0.0.7" },
		"source 0.0.0.0 usesrc clientip": func(s *balancer.ServiceSpec) bool { return s.Mode == balancer.NAT },
		`option httpchk GET /up HTTP/1.1\r\nHost:\ a.example` + "\nserver a 10.0.0.1 check": func(s *balancer.ServiceSpec) bool {
			return s.Health.Path == "/up" && s.Health.Host == "a.example"
		},
		"balance leastconn": func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.LeastConn },
		"balance source":    func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.SourceHash },
		"balance random":    func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.TwoChoices },
		"balance random(1)": func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.Weighted },
		"server a 10.0.0.1 weight 2\nserver b 10.0.0.2 weight 3": func(s *balancer.ServiceSpec) bool {
			return s.Algorithm == balancer.WeightedRoundRobin && s.Backends[1].Weight == 3
		},
		"stick-table type ip size 1m expire 10m\nstick on src": func(s *balancer.ServiceSpec) bool { return s.Persistence.Timeout == 10*time.Minute },
		"server a 10.0.0.1:80 check inter 500ms fall 5 rise 1": func(s *balancer.ServiceSpec) bool {
			h := s.Health
			return h.Type == balancer.HealthTCP && h.Interval == 500*time.Millisecond && h.Fall == 5 && h.Rise == 1
		},
		"default-server check inter 7s\nserver a 10.0.0.1:80\nserver b 10.0.0.2:80 weight 0": func(s *balancer.ServiceSpec) bool {
			return s.Health.Interval == 7*time.Second && s.Backends[1].Weight == 0
		},
		"server a 10.0.0.1:80 slowstart 30s maxconn 5\nserver b 10.0.0.2:80 slowstart 5000 backup maxconn 0": func(s *balancer.ServiceSpec) bool {
			return s.SlowStart == 30*time.Second && s.Backends[0].MaxConns == 5 && !s.Backends[0].Backup && s.Backends[1].Backup && s.Backends[1].MaxConns == 0 && s.Backends[1].Weight == 1
		},
		"default-server maxconn 9 slowstart 1m\nserver a 10.0.0.1:80\nserver b 10.0.0.2:80 maxconn 3": func(s *balancer.ServiceSpec) bool {
			return s.SlowStart == time.Minute && s.Backends[0].MaxConns == 9 && s.Backends[1].MaxConns == 3
		},
		"server a 10.0.0.1:80": func(s *balancer.ServiceSpec) bool { return s.Health.Type == balancer.HealthNone },
		"option httpchk GET /up\nserver a 10.0.0.1:80 check port 81": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthHTTP && s.Health.Path == "/up" && s.Health.Port == 81
		},
		"option httpchk GET /up\nserver a 10.0.0.1:443 check check-ssl ca-file /ca.pem sni str(a.example) fastinter 100 source 10.0.0.9": func(s *balancer.ServiceSpec) bool {
			h := s.Health
			return h.Type == balancer.HealthHTTPS && h.CA == "/ca.pem" && h.Host == "a.example" && h.FastInterval == 100*time.Millisecond && h.Sources[0].String() == "10.0.0.9"
		},
		"option httpchk\nserver a 10.0.0.1:443 check ssl verify none ca-file /ca.pem": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthHTTPS && s.Health.Insecure && s.Health.CA == ""
		},
		"server a 10.0.0.1:80 disabled":                         func(s *balancer.ServiceSpec) bool { return s.Backends[0].Weight == 0 },
		"server a ipv4@10.0.0.1:81":                             func(s *balancer.ServiceSpec) bool { return s.Backends[0].Port == 81 },
		"server a 10.0.0.1:80 on-marked-down shutdown-sessions": func(s *balancer.ServiceSpec) bool { return s.OnDown == balancer.Reset },
	} {
		if s, yaml := one(inside); !holds(s) {
			t.Errorf("%s:\n%s", inside, yaml)
		}
	}
	for inside, want := range map[string]string{
		"balance first": "balance first: ", "balance uri": "balance uri: ", "use_backend x if y": "use_backend x if y: ", "acl a src 10.0.0.0/8": "acl a src 10.0.0.0/8: ",
		"server a web1:80": "it is a host name; write its address", "server a 10.0.0.1:80 send-proxy": "send-proxy of a: there is no PROXY protocol",
		"server a 10.0.0.1:80 backup\nserver b 10.0.0.2:80 backup\nserver c 10.0.0.3:80": "2 backup servers: all of them share", "fullconn 5": "fullconn 5: max-conns is of each",
		"server a 10.0.0.1:80 slowstart 30s\nserver b 10.0.0.2:80": "slowstart of 10.0.0.2: slow-start is of the whole service", "server a 10.0.0.1:+1": "from the client's is not built", "server a /run/x.sock": "server a: backends are at IP addresses",
		"server a 10.0.0.1:80 ssl verify none": "ssl of a: ", "server a 10.0.0.1:80 frob": "frob of a: has no equivalent", "option frob": "option frob: has no equivalent",
		"server a 10.0.0.1:80 check check-ssl": "TLS of the check of a: ", "server a 10.0.0.1:80 ca-file x": "ca-file x of a: ",
		"server a 10.0.0.1:80 sni req.hdr(host)": "sni of a: a check asks for one name", "server a 10.0.0.1:80 source 10.0.0.1:99": "source 10.0.0.1:99 of a: ", "server a 10.0.0.1:80 downinter 5s": "downinter 5s of a: ",
		"bind 192.0.2.7:443 ssl crt /x": "TLS is not ended here", "bind unix@/x": "services are at IP addresses", "bind www:80": "it is a host name",
		"http-check expect rstatus ^2": "http-check expect rstatus ^2: ", "tcp-check connect": "tcp-check connect: ", "stick on hdr(x)": "goes by the client's address alone",
		"timeout frob 5s": "timeout frob 5s: is unknown", "maxconn 5": "maxconn 5: max-conns", "option tcplog": "option tcplog: no line is logged", "timeout connect 5s": "timeout connect 5s: connections are",
		"rate-limit sessions 5": "rate-limit sessions 5: ", "dispatch 10.0.0.1:80": "dispatch 10.0.0.1:80: ", "email-alert to x": "email-alert to x: ",
		"hash-type map-based": "hash-type map-based: ", "frob": "frob: ", "server-template s 3 x:80": "server-template s 3 x:80: write out the servers",
		"source 10.0.0.7 interface eth1": "source 10.0.0.7 interface eth1: connections come from snat-addresses", "source 0.0.0.0 usesrc hdr_ip(x)": "source 0.0.0.0 usesrc hdr_ip(x): ",
		"balance source sticky": `balance source sticky: "sticky" and what follows it is not read`, "timeout client 5s 6s": `"6s" and what follows`, "contimeout 5000": "timeout connect 5000: connections are",
		"bind 192.0.2.7:80 maxconn 5": "maxconn 5: max-conns", "bind 192.0.2.7:80 v4v6": "v4v6: a service has one address",
		"stick-table type ip size 1m peers p\nstick on src": "LEFT OUT: f:3: peers p: persistence goes by", "stick-table type string len 9 size 1m\nstick on src": "LEFT OUT: f:3: type string: ",
		"option httpchk GET /up HTTP/1.1\\r\\nX-Y:\\ z": "of a request path and Host header alone can be said", "server a 10.0.0.1:80 check\nserver b 10.0.0.2:80": "health check of 10.0.0.2: differs",
	} {
		_, yaml := converted(t, "listen a\n bind :80\n"+inside+"\n", with)
		if !strings.Contains(yaml, want) {
			t.Errorf("%s: no %q in\n%s", inside, want, yaml)
		}
	}
}

func TestHAProxySections(t *testing.T) {
	for text, want := range map[string]string{
		"frontend a\n mode http\n bind 192.0.2.1:80\n":                                "frontend a: mode http",
		"frontend a\n bind 192.0.2.1:80\n":                                            "frontend a: has no default_backend",
		"frontend a\n bind 192.0.2.1:80\n default_backend b\nbackend b\n mode http\n": "frontend a: its backend b is of mode http",
		"backend b\n server a 10.0.0.1:80\n":                                          "backend b: no frontend of mode tcp has it",
		"peers p\n peer a 10.0.0.1:1024\n":                                            "peers p: flows are not told",
		"resolvers r\n nameserver a 10.0.0.1:53\n":                                    "resolvers r: names of hosts are not looked up",
		"defaults\n frob\nlisten a\n bind 192.0.2.1:80\n":                             "LEFT OUT: f:2: frob: ",
		"global\n frob\n":                             "frob: has no equivalent",
		"listen a\n bind *:80\n":                      "say with --address which it is",
		"listen a 192.0.2.1:80 frob\n":                "LEFT OUT: f:1: frob: is no part of the line",
		"listen a\n":                                  "listen a: binds no address",
		"frontend a\n default_backend b\nbackend b\n": "frontend a: binds no address",
		"listen a 192.0.2.1:80\n server x 10.0.0.9:80\n default_backend b\nbackend b\n server s 10.0.0.1:80\n": "LEFT OUT: f:2: server x 10.0.0.9:80: gets nothing",
		".if defined(X)\nglobal\n.endif\nlisten a\n":                                                           "global: stands under a condition",
		"listen a\n bind 192.0.2.1:80\n server a 10.0.0.1:80\n":                                                "say with --source which it is",
		"listen a\n timeout client 5s\n bind 192.0.2.1:80\nlisten b\n timeout client 9s\n bind 192.0.2.2:80\n": "timeout 9s: is the longest",
	} {
		if _, yaml := converted(t, text+"# global\nglobal\n", world()); !strings.Contains(yaml, want) {
			t.Errorf("%s: no %q in\n%s", text, want, yaml)
		}
	}
	s, yaml := converted(t, "listen a\n bind 192.0.2.1:80,192.0.2.2:90-99\n bind [2001:db8::1]:80\n", world())
	six, _ := converted(t, "listen a\n bind 2001:db8::9:80\n server a [2001:db8::1]:81\n server b 2001:db8::2:82\n server c [2001:db8::3]\n", world())
	if b := six[0].Backends; six[0].Address.String() != "2001:db8::9" || b[0].Port != 81 || b[1].Address.String() != "2001:db8::2" || b[1].Port != 82 || b[2].Address.String() != "2001:db8::3" {
		t.Errorf("addresses of IPv6: %+v", six)
	}
	if len(s) != 3 || s[0].Name != "a-1" || s[1].First != 90 || s[1].Last != 99 || s[2].Address.String() != "2001:db8::1" {
		t.Errorf("several addresses:\n%s", yaml)
	}
}

func TestHAProxyErrors(t *testing.T) {
	for text, want := range map[string]string{
		"bind :80\n":                                                       `f:1: "bind" stands in no section`,
		"listen a\n bind \"192.0.2.1:80\n":                                 "f:2: a quotation is not closed",
		"listen a\n bind \"${X\"\n":                                        "f:2: ${ is not closed",
		"listen a\n bind ${NOT_SET}:80\n":                                  "f:2: the variable NOT_SET is not set",
		"listen a\n bind 192.0.2.1\n":                                      `f:2: bind "192.0.2.1" has no port`,
		"listen a\n bind 192.0.2.1:x\n":                                    `f:2: "x" is no port`,
		"listen a\n mode frob\n":                                           `f:2: "frob" is no mode`,
		"listen a\n timeout client soon\n":                                 `f:2: time soon: "soon" is no number`,
		"listen a from b\n":                                                "f:1: there is no defaults section b above",
		"frontend a\n bind 192.0.2.1:80\n default_backend b\n":             "f:3: there is no backend b",
		"listen a\n bind 192.0.2.1:80\n default_backend b\n":               "f:3: there is no backend b",
		"listen a\nbackend a\n":                                            "f:2: backend a is there twice",
		"backend a\nbackend a\n":                                           "f:2: backend a is there twice",
		"listen a\n bind 192.0.2.1:80\n server a\n":                        "f:3: want server NAME ADDRESS",
		"listen a\n bind 192.0.2.1:80\n balance frob\n":                    `f:3: "frob" is no algorithm of HAProxy`,
		"listen a\n bind 192.0.2.1:80\n server a 10.0.0.1:80 weight 300\n": `f:3: weight: "300" is no number from 0 to 256`,
		".if x\n":                     "f:2: an .if is not closed",
		"listen a\n timeout client\n": "f:2: want a time at the end",
		".endif\n":                    "f:1: .endif closes nothing",
		".frob\n":                     `f:1: ".frob" is unknown`,
	} {
		o := world()
		o.From = HAProxy
		if _, err := Convert("f", []byte(text), o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

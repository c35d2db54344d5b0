package convert

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// converted converts a text and returns its services as check reads them.
func converted(t *testing.T, text string, o Options) ([]balancer.ServiceSpec, string) {
	t.Helper()
	r := to(t, text, o)
	return consistent(t, r).Spec.Services, string(r.YAML)
}

func TestKeepalivedGrammar(t *testing.T) {
	for name, text := range map[string]string{
		"one line":        `virtual_server 192.0.2.1 80 { lb_algo rr }`,
		"brace below":     "virtual_server 192.0.2.1 80\n{\nlb_algo rr\n}\n",
		"comments":        "! one\n# two\nvirtual_server 192.0.2.1 80 { # three\n lb_algo rr ! four\n}\n",
		"quotes":          "virtual_server \"192.0.2.1\" '80' {\n lb_algo \"rr\"\n}\n",
		"CRLF":            "virtual_server 192.0.2.1 80 {\r\n lb_algo rr\r\n}\r\n",
		"definitions":     "$V=192.0.2.1\n$ALGO = rr # the simple one\n$LINE=lb_algo $ALGO\nvirtual_server ${V} 80 {\n $LINE\n}\n",
		"continued":       "$V=192.0.2.1 \\\n 80\nvirtual_server $V {\n lb_algo \\\n rr\n}\n",
		"names of ports":  "virtual_server 192.0.2.1 http {\n lvs_sched rr\n}\n",
		"byte order mark": "\ufeffvirtual_server 192.0.2.1 80 {\n lb_algo rr\n}\n",
	} {
		s, yaml := converted(t, text, world())
		if len(s) != 1 || s[0].Address.String() != "192.0.2.1" || s[0].First != 80 || s[0].Algorithm != balancer.RoundRobin {
			t.Errorf("%s:\n%s", name, yaml)
		}
	}
}

func TestKeepalivedSettings(t *testing.T) {
	one := func(inside string) (*balancer.ServiceSpec, string) {
		s, yaml := converted(t, "virtual_server 192.0.2.1 80 {\n"+inside+"\n}\n", world())
		if len(s) != 1 {
			t.Fatalf("%s:\n%s", inside, yaml)
		}
		return &s[0], yaml
	}
	for inside, holds := range map[string]func(*balancer.ServiceSpec) bool{
		"":                        func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.LeastConn && s.Mode == balancer.NAT },
		"lb_kind DR":              func(s *balancer.ServiceSpec) bool { return s.Mode == balancer.DSR },
		"lvs_method TUN":          func(s *balancer.ServiceSpec) bool { return s.Mode == balancer.IPIP },
		"lvs_method TUN type gre": func(s *balancer.ServiceSpec) bool { return s.Mode == balancer.GRE },
		"lvs_sched mh":            func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.Maglev },
		"lb_algo sh":              func(s *balancer.ServiceSpec) bool { return s.Algorithm == balancer.SourceHash },
		"persistence_timeout":     func(s *balancer.ServiceSpec) bool { return s.Persistence.Timeout == 6*time.Minute },
		"persistence_timeout 50":  func(s *balancer.ServiceSpec) bool { return s.Persistence.Timeout == 50*time.Second },
		"inhibit_on_failure":      func(s *balancer.ServiceSpec) bool { return s.OnDown == balancer.Keep },
		"protocol UDP\nops": func(s *balancer.ServiceSpec) bool {
			return s.Affinity == balancer.AffinityNone && s.Protocol == balancer.UDP
		},
		"persistence_timeout 9\npersistence_granularity 255.255.0.0": func(s *balancer.ServiceSpec) bool { return s.Persistence.Prefix4 == 16 && s.Persistence.Prefix6 == 128 },
		"lvs_method TUN type gue port 6666 csum": func(s *balancer.ServiceSpec) bool {
			return s.GUE == balancer.GUESpec{Port: 6666, Variant: 0, Checksum: true}
		},
		"delay_loop 2.5\nretry 1\nconnect_timeout 9\nreal_server 10.0.0.1 80 {\nTCP_CHECK { connect_port 81 }\n}": func(s *balancer.ServiceSpec) bool {
			h := s.Health
			return h.Type == balancer.HealthTCP && h.Port == 81 && h.Interval == 2500*time.Millisecond && h.Timeout == h.Interval && h.Rise == 1 && h.Fall == 2
		},
		"quorum 2\nsorry_server 10.0.0.9 80\nreal_server 10.0.0.1 80 {\nuthreshold 7\n}\nreal_server 10.0.0.2 80 {\n}": func(s *balancer.ServiceSpec) bool {
			b := s.Backends
			return s.MinHealthy == balancer.MinHealthy{Count: 2} && s.BelowMin == balancer.JoinBackup && len(b) == 3 && b[2].Backup && !b[0].Backup && b[0].MaxConns == 7 && b[1].MaxConns == 0
		},
		"real_server 10.0.0.1 443 {\nSSL_GET {\nvirtualhost a.example\nbindto 10.0.0.9\ndelay_before_retry 1\nurl { path /up }\n}\n}": func(s *balancer.ServiceSpec) bool {
			h := s.Health
			return h.Type == balancer.HealthHTTPS && h.Insecure && h.Path == "/up" && h.Host == "a.example" && h.FastInterval == time.Second && h.Sources[0].String() == "10.0.0.9"
		},
		"protocol UDP\nreal_server 10.0.0.1 53 {\nDNS_CHECK {\ntype aaaa\nname www.example.com\n}\n}": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthDNS && s.Health.Query == balancer.QueryAAAA && s.Health.Name == "www.example.com"
		},
		"protocol UDP\nreal_server 10.0.0.1 53 {\nDNS_CHECK { }\n}": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthDNS && s.Health.Query == balancer.QuerySOA && s.Health.Name == "."
		},
		"protocol UDP\nreal_server 10.0.0.1 53 {\nUDP_CHECK {\npayload 00ff\nrequire_reply 4142\n}\n}": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthUDP && s.Health.Send == "\x00\xff" && s.Health.Receive == "AB"
		},
		"protocol UDP\nreal_server 10.0.0.1 53 {\nPING_CHECK {\nretry 2\n}\n}": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthICMP && s.Health.Fall == 3
		},
		"real_server 10.0.0.1 80 {\n}": func(s *balancer.ServiceSpec) bool {
			return s.Health.Type == balancer.HealthNone && s.Backends[0].Weight == 1
		},
		"lb_algo lc\nreal_server 10.0.0.1 80 { weight 7 }\nreal_server 10.0.0.2 80 { weight 0 }": func(s *balancer.ServiceSpec) bool {
			return s.Backends[0].Weight == 1 && s.Backends[1].Weight == 0
		},
	} {
		if s, yaml := one(inside); !holds(s) {
			t.Errorf("%s:\n%s", inside, yaml)
		}
	}
	for inside, want := range map[string]string{
		"lb_algo sed": "scheduler sed: ", "quorum 2": "quorum 2: min-healthy: without a sorry_server", "hysteresis 1": "hysteresis 1: min-healthy has none",
		"quorum 3\nsorry_server 10.0.0.9 80\nreal_server 10.0.0.1 80 {\n}\nreal_server 10.0.0.2 80 {\n}":           "quorum 3: min-healthy: there are not so many",
		"quorum 2\nsorry_server 10.0.0.9 80\nreal_server 10.0.0.1 80 {\nweight 2\n}\nreal_server 10.0.0.2 80 {\n}": "quorum 2: min-healthy counts backends and not their weights",
		"sorry_server 10.0.0.9 80\nreal_server 10.0.0.1 80 {\nTCP_CHECK {\n}\n}":                                   "sorry_server 10.0.0.9 80: it is asked how it is as the others are",
		"protocol UDP\nreal_server 10.0.0.1 80 {\nuthreshold 5\n}":                                                 "uthreshold 5: max-conns counts connections",
		"real_server 10.0.0.1 80 {\nlthreshold 5\n}":                                                               "lthreshold 5: a backend takes new connections as soon",
		"lb_algo rr sticky":       `lb_algo rr sticky: "sticky" and what follows it is not read`,
		"lb_algo rr\nlb_algo wrr": `lb_algo rr: "rr" and what follows it is not read`,
		"real_server 10.0.0.1 80 { weight 1 HTTP_GET {\nurl {\n}\n} }":              `weight 1 HTTP_GET: "HTTP_GET" and what follows it is not read`,
		"delay_loop 3 {\nretry 1\n}":                                                "delay_loop 3: what stands in its block is not read",
		"real_server 10.0.0.1 80 {\nSMTP_CHECK {\nhost {\nbindto 10.0.0.9\n}\n}\n}": `bindto 10.0.0.9: "10.0.0.9" and what follows it is not read`,
		"lvs_method TUN type gre csum":                                              "lvs_method TUN type gre csum: port and checksum are of gue alone",
		"lvs_method FNAT":                                                           "fullnat needs snat-addresses", "persistence_timeout 0": "persistence of 0s: is out of range", "persistence_engine sip": "goes by addresses alone",
		"notify_up x": "notify_up x: ", "what ever": "what ever: has no equivalent",
		"real_server 10.0.0.1 80 {\nUDP_CHECK {\nrequire_reply\n}\n}":                     "require_reply: silence counts as good",
		"real_server 10.0.0.1 80 {\nDNS_CHECK {\ntype RRSIG\n}\n}":                        "type RRSIG: records of this type are not asked for",
		"real_server 10.0.0.1 80 {\nMISC_CHECK {\nmisc_path /x\n}\n}":                     "MISC_CHECK: no command is run for a check",
		"real_server 10.0.0.1 80 {\nHTTP_GET {\nurl { path /a }\nurl { path /b }\n}\n}":   "url: a check asks for one path; /a",
		"real_server 10.0.0.1 80 {\nTCP_CHECK {\n}\nMISC_CHECK {\n}\n}":                   "MISC_CHECK: a backend has one check; tcp",
		"lb_kind NAT\nreal_server 10.0.0.1 80 {\nlvs_method DR\n}":                        "lvs_method DR: all backends of a service are reached alike",
		"lb_kind DR\nreal_server 10.0.0.1 8080 {\n}":                                      "port 8080: mode dsr delivers to the service's port",
		"real_server 10.0.0.1 80 {\nTCP_CHECK {\n}\n}\nreal_server 10.0.0.2 80 {\n}":      "health check of 10.0.0.2: differs",
		"real_server 10.0.0.1 80 {\nHTTP_GET {\nurl {\npath /\ndigest abc\n}\n}\n}":       "digest abc: answers are not hashed",
		"real_server 10.0.0.1 80 {\nTCP_CHECK {\nconnect_ip 10.0.0.9\n}\nlthreshold 1\n}": "connect_ip 10.0.0.9: checks go to the backend's own address",
	} {
		if _, yaml := one(inside); !strings.Contains(yaml, want) {
			t.Errorf("%s: no %q in\n%s", inside, want, yaml)
		}
	}
}

func TestKeepalivedErrors(t *testing.T) {
	for text, want := range map[string]string{
		"virtual_server 192.0.2.1 80 {\ndelay_loop nan\n}\n":                          `f:2: delay_loop: "nan" is no number of seconds`,
		"virtual_server_group g {\n}\nvirtual_server_group g {\n}\n":                  "f:3: virtual_server_group g is there twice, first in line 1",
		"$a=" + strings.Repeat("x", 9000) + "\n" + strings.Repeat("${a}", 1<<19):      "f:2: the line is longer than 65536 bytes with its definitions",
		"\nvirtual_server 192.0.2.1 80 {\n":                                           "f:2: the block of virtual_server is not closed",
		"virtual_server 192.0.2.1 80 {\n}\n}\n":                                       "f:3: a } closes nothing",
		"\n{\n":                                                                       "f:2: a { has nothing in front of it",
		"a \"b\n":                                                                     "f:1: a quotation is not closed",
		"virtual_server 192.0.2.300 80 {\n}\n":                                        `f:1: "192.0.2.300" is no IP address`,
		"virtual_server 192.0.2.1 80x {\n}\n":                                         `f:1: "80x" is no port`,
		"virtual_server 192.0.2.1 80 {\nlb_algo wrrr\n}\n":                            `f:2: "wrrr" is no scheduler of IPVS`,
		"virtual_server 192.0.2.1 80 {\nlb_kind FOO\n}\n":                             `f:2: lb_kind: "FOO" is none of NAT, DR, TUN`,
		"virtual_server 192.0.2.1 80 {\ndelay_loop soon\n}\n":                         `f:2: delay_loop: "soon" is no number of seconds`,
		"virtual_server 192.0.2.1 80 {\npersistence_granularity 255.0.255.0\n}":       `f:2: "255.0.255.0" is neither a mask`,
		"virtual_server 192.0.2.1 80 {\nreal_server web1 80 {\n}\n}\n":                `f:2: "web1" is no IP address`,
		"virtual_server 192.0.2.1 80 {\nreal_server 10.0.0.1 80 {\nweight -1\n}\n}\n": `f:3: weight: "-1" is no number from 0 to 65535`,
		"virtual_server group g {\n}\n":                                               "f:1: there is no virtual_server_group g",
		"virtual_server {\n}\n":                                                       "f:1: virtual_server: want an address and a port",
		"virtual_server_group g {\n192.0.2.9-3 80\n}\nvirtual_server group g {\n}\n":  `f:2: "192.0.2.9-3" is no range of addresses`,
		strings.Repeat("a {\n", 20):                                                   "f:17: blocks lie in each other deeper than 16",
		"$A=$A$A\n$B=$A $A\n$A\n$B\n$C=$B$B$B$B\nx $C\n":                              "",
	} {
		o := world()
		o.From = Keepalived
		_, err := Convert("f", []byte(text), o)
		if want == "" && err == nil {
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestKeepalivedConditions(t *testing.T) {
	const text = "virtual_server 192.0.2.1 80 {\n@main lb_algo rr\n@^main lb_algo sh\n}\n"
	for id, want := range map[string]balancer.Algorithm{"main": balancer.RoundRobin, "other": balancer.SourceHash, "": balancer.LeastConn} {
		o := world()
		o.ConfigID = id
		s, yaml := converted(t, text, o)
		if s[0].Algorithm != want || strings.Contains(yaml, "LEFT OUT: f:2: @main") != (id == "") {
			t.Errorf("config id %q:\n%s", id, yaml)
		}
	}
}

func TestKeepalivedIncludes(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	main := filepath.Join(dir, "main.conf")
	put("a.inc", "$A=192.0.2.1\ninclude b.inc\n")
	put("b.inc", "virtual_server $A 80 {\nlb_algo rr\n}\n")
	put("loop.inc", "include loop.inc\n")
	put("bad.inc", "\nvirtual_server x 80 {\n}\n")
	o := world()
	o.From = Keepalived
	for text, want := range map[string]string{
		"include a.inc\n":                        "",
		"include " + filepath.Join(dir, "a.inc"): "",
		"include none.inc\n":                     "LEFT OUT: main.conf:1: include " + filepath.Join(dir, "none.inc") + ": there is no such file",
		"include loop.inc\n":                     filepath.Join(dir, "loop.inc") + ":1: files include each other deeper than 16",
		"include bad.inc\n":                      filepath.Join(dir, "bad.inc") + `:2: "x" is no IP address`,
		"include [\n":                            main + ":1: include " + filepath.Join(dir, "[") + ": syntax error in pattern",
	} {
		r, err := Convert(main, []byte(text), o)
		switch {
		case want == "":
			if err != nil || len(consistent(t, r).Spec.Services) != 1 {
				t.Errorf("%s: %v", text, err)
			}
		case err != nil:
			if err.Error() != want {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
		case !strings.Contains(string(r.YAML), want):
			t.Errorf("%s: no %q in\n%s", text, want, r.YAML)
		}
	}
}

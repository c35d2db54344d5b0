package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
)

// TestTermsLeadToWhatThereIs: what the tables answer is there, what they ask is not.
func TestTermsLeadToWhatThereIs(t *testing.T) {
	var paths []string
	each("", topKeys.settings(), func(path string, _ setting) { paths = append(paths, path) })
	for word, term := range keyTerms {
		if word != normal(word) || term.ours == "" && term.say == "" {
			t.Errorf("%q is not as it is looked up, or has no answer", word)
		}
		if ours := strings.TrimSuffix(term.ours, "[]"); ours != "" && !slices.Contains(paths, ours) {
			t.Errorf("%s is said to be %s, which is no key", word, term.ours)
		}
	}
	for path := range unbuilt {
		if slices.Contains(paths, path) {
			t.Errorf("%s is built, and said not to be: remove it from the table", path)
		}
	}
	parsers := map[string]func(string) error{
		"algorithm":       func(s string) error { _, err := balancer.ParseAlgorithm(s); return err },
		"mode":            func(s string) error { _, err := balancer.ParseMode(s); return err },
		"protocol":        func(s string) error { _, err := balancer.ParseProtocol(s); return err },
		"health type":     func(s string) error { _, err := balancer.ParseHealthType(s); return err },
		"on-down":         func(s string) error { _, err := balancer.ParseOnDown(s); return err },
		"way to announce": func(s string) error { _, err := balancer.ParseAnnounce(s); return err },
		"on-no-backend":   func(s string) error { _, err := balancer.ParseOnNoBackend(s); return err },
		"affinity":        func(s string) error { _, err := balancer.ParseAffinity(s); return err },
		"XDP mode":        func(s string) error { _, err := ParseXDPMode(s); return err },
		"log level":       func(s string) error { _, err := parseLogLevel(s); return err },
		"log format":      func(s string) error { _, err := parseLogFormat(s); return err },
	}
	for what, terms := range valueTerms {
		for word, term := range terms {
			if word != normal(word) || term.ours == "" && term.say == "" {
				t.Errorf("%s %q is not as it is looked up, or has no answer", what, word)
			}
			if term.ours != "" && parsers[what](term.ours) != nil {
				t.Errorf("%s %s is said to be %s, which there is not", what, word, term.ours)
			}
			if parsers[what](word) == nil {
				t.Errorf("%s %s is ours", what, word)
			}
		}
	}
}

// TestTermsAreAnswered: people type what they know.
func TestTermsAreAnswered(t *testing.T) {
	const file = "%s\nservices: [{name: a, address: 192.0.2.1, port: 80, health: {%s}, %s, backends: [{address: 10.0.0.1, %s}]}]"
	for _, test := range []struct{ top, health, service, backend, want string }{
		{service: "algorithm: wlc", want: "services[0].algorithm: unknown algorithm \"wlc\"; want round-robin, weighted-round-robin, weighted, least-conn, two-choices, source-hash or maglev (write least-conn, which goes by the weights)"},
		{service: "algorithm: LEAST_REQUEST", want: "(write two-choices)"},
		{service: "mode: masq", want: "(write nat)"},
		{service: "mode: DR", want: "(write dsr)"},
		{service: "mode: vxlan", want: "(that tunnel is not built; gue goes through the same networks)"},
		{service: "announce: bgp", want: "(write local, from which a routing daemon takes it)"},
		{service: "announce: VRRP", want: "(VRRP is not built; keepalived can run beside afxlb, without virtual_server; arp does without a second machine)"},
		{service: "protocol: tcp/udp", want: "(want one service of udp and one of tcp)"},
		{health: "type: mysql-check", want: "(write tcp, which opens a connection and says nothing on it)"},
		{health: "interval: 1d", want: "want a number with a unit of ms, s, m or h, as in 5s or 250ms"},
		{service: "mode: http", want: "balances connections and does not look into them"},
		{service: "health: {type: TCP_CHECK}", want: "(write tcp)"},
		{service: "lb_algo: rr", want: `services[0].lb_algo: unknown key; here it is "algorithm"`},
		{service: "lb_algo: rr", want: "services[0].algorithm: unknown algorithm \"rr\""},
		{service: "bind: 192.0.2.1:80", want: `services[0].bind: unknown key; here it is "address", with the port under port`},
		{service: "delay_loop: 6", want: `services[0].delay_loop: unknown key; here it is "health.interval"`},
		{service: "real_server: []", want: `services[0].real_server: unknown key; here it is "backends"`},
		{health: "fastinter: 1s", want: `services[0].health.fastinter: unknown key; here it is "fast-interval"`},
		{health: "sni: a", want: `services[0].health.sni: unknown key; here it is "host"`},
		{health: "type: exec", want: "(checks by commands are not built, for each would be a process; type http can ask a small server of yours)"},
		{health: "type: SSL_GET", want: "(write https)"},
		{health: "type: ping", want: "(write icmp)"},
		{service: "sorry_server: 10.0.0.9", want: `here it is "backends[].backup", with true, in the list of backends`},
		{service: "quorum: 2", want: `here it is "min-healthy", with below-min-healthy: backup, as a number of backends`},
		{service: "slowstart: 30s", want: `services[0].slowstart: unknown key; here it is "slow-start"`},
		{service: "max-conns: 5", want: "services[0].max-conns: is known, but not built yet; remove it (each backend has one of its own)"},
		{health: "inter: 2s", want: `services[0].health.inter: unknown key; here it is "interval"`},
		{backend: "maxconn: 5", want: `services[0].backends[0].maxconn: unknown key; here it is "max-conns"`},
		{backend: "slow-start: 5s", want: "services[0].backends[0].slow-start: is known, but not built yet; remove it (slow-start of the service is that of all its backends)"},
		{backend: "backup: yes", want: "services[0].backends[0].backup: \"yes\""},
		{backend: "TCP_CHECK: {}", want: `services[0].backends[0].TCP_CHECK: unknown key; here it is "services[].health", with type: tcp`},
		{top: "virtual_server: []", want: `virtual_server: unknown key; here it is "services"`},
		{top: "vrrp_instance: {}", want: "vrrp_instance: unknown key: VRRP is not built; keepalived can run beside afxlb, without virtual_server"},
		{top: "announce: arp", want: `announce: unknown key; here it is "services[].announce"`},
		{top: "nbthread: 4", want: `nbthread: unknown key; here it is "queues"`},
		{backend: "host: web1", want: "services[0].backends[0].host: unknown key; here it is \"address\""},
	} {
		text := fmt.Sprintf(file, test.top, test.health, test.service, test.backend)
		text = strings.NewReplacer("health: {}, ", "", ", ,", ",", ", }", "}").Replace(strings.Replace(text, "health: {}, ,", "", 1))
		if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, test.want)
		}
	}
}

// TestHostNames are refused with the reason, and other slips are named.
func TestHostNames(t *testing.T) {
	const names = "(it is a host name; names are not looked up: "
	for text, want := range map[string]string{
		"web1.example.com": names, "localhost": names, "web-1": names, "a.b.": names, "_srv.tcp": names,
		"10.0.0.1:80": "(the port goes under port)", "[2001:db8::1]": "(leave out the brackets)", "[2001:db8::1]:80": "(the port goes under port)",
		"10.0.0.0/24": "(it is a network)", "2001:db8::/32": "(it is a network)",
		"10.0.0.300": "2001:db8::10", "10.0.0": "2001:db8::10", "": "2001:db8::10", "fe80::1%eth0": "2001:db8::10",
	} {
		_, err := parseAddress(text)
		if err == nil || !strings.Contains(err.Error(), want) || want == "2001:db8::10" && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

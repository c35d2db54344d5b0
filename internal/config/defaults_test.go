package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
)

// TestDefaults: what a service says itself counts, then the defaults, then what is built in.
func TestDefaults(t *testing.T) {
	s := parseServices(t, `
services:
  - {name: plain, address: 192.0.2.1, port: 80, backends: [{address: 10.0.0.1}]}
  - {name: own, address: 192.0.2.2, port: 80, algorithm: weighted, on-down: reassign, health: {interval: 500ms, type: tcp}, backends: [{address: 10.0.0.1}]}
  - {name: off, address: 192.0.2.3, port: 80, health: {type: none}, persistence: none, backends: [{address: 10.0.0.1}]}
  - {name: udp, address: 192.0.2.4, port: 53, protocol: udp, affinity: none, backends: [{address: 10.0.0.1}]}
  - {name: fullnat, address: 192.0.2.5, port: 80, mode: fullnat, persistence: {group: g}, backends: [{address: 10.0.0.1}]}
  - {name: gue, address: 192.0.2.6, port: 80, mode: gue, gue: {checksum: true}, backends: [{address: 10.0.0.1}]}
defaults: # after what it is for
  algorithm: least-conn
  on-down: keep
  drain-time: 0
  snat-addresses: [10.0.0.5]
  tunnel-source: 10.0.1.1
  gue: {port: 5555}
  persistence: {timeout: 10m, prefix: 24/56}
  health: {type: http, path: /up, interval: 3s, timeout: 1s, fall: 5}
`)
	http := balancer.HealthSpec{Type: balancer.HealthHTTP, Path: "/up", Interval: 3 * time.Second, Timeout: time.Second, Rise: 2, Fall: 5}
	none := balancer.HealthSpec{Type: balancer.HealthNone, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	base := balancer.ServiceSpec{
		First: 80, Last: 80, Protocol: balancer.TCP, Algorithm: balancer.LeastConn, OnDown: balancer.Keep, Health: http,
		Persistence: balancer.PersistenceSpec{Timeout: 10 * time.Minute, Prefix4: 24, Prefix6: 56},
		Backends:    []balancer.BackendSpec{{Name: "10.0.0.1:80", Address: addr("10.0.0.1"), Port: 80, Weight: 1}},
	}
	want := slices.Repeat([]balancer.ServiceSpec{base}, 6)
	for i, name := range []string{"plain", "own", "off", "udp", "fullnat", "gue"} {
		want[i].Name, want[i].Address = name, addr(fmt.Sprintf("192.0.2.%d", i+1))
	}
	own, off, udp, full, gue := &want[1], &want[2], &want[3], &want[4], &want[5]
	own.Algorithm, own.OnDown = balancer.Weighted, balancer.Reassign
	own.Health = balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 500 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 5}
	off.Health, off.Persistence = none, balancer.PersistenceSpec{}
	udp.First, udp.Last, udp.Protocol, udp.Affinity = 53, 53, balancer.UDP, balancer.AffinityNone
	udp.Persistence, udp.Health = balancer.PersistenceSpec{}, none
	udp.Backends = []balancer.BackendSpec{{Name: "10.0.0.1:53", Address: addr("10.0.0.1"), Port: 53, Weight: 1}}
	full.Mode, full.SnatAddresses, full.Persistence.Group = balancer.FullNAT, []netip.Addr{addr("10.0.0.5")}, "g"
	gue.Mode, gue.TunnelSources = balancer.GUE, []netip.Prefix{netip.MustParsePrefix("10.0.1.1/32")}
	gue.GUE = balancer.GUESpec{Port: 5555, Variant: 1, Checksum: true}
	if diff := cmp.Diff(want, s, compareAddresses); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDefaultHealthOfOthers: a check that could tell nothing does not count, one that names
// a port does.
func TestDefaultHealthOfOthers(t *testing.T) {
	const file = "defaults: {health: {%s}}\nservices: [{name: a, address: 192.0.2.1, %s, backends: [{address: 10.0.0.1}]}]"
	for _, test := range []struct {
		health, service string
		want            balancer.HealthType
	}{
		{"interval: 1s", "port: 80", balancer.HealthTCP},
		{"interval: 1s", "port: 53, protocol: udp", balancer.HealthNone},
		{"interval: 1s", "port: any", balancer.HealthNone},
		{"type: http", "port: 8000-8099", balancer.HealthNone},
		{"type: http, port: 8080", "port: 8000-8099", balancer.HealthHTTP},
		{"type: http, port: 8080", "port: 53, protocol: udp", balancer.HealthHTTP},
		{"type: none", "port: 80", balancer.HealthNone},
		{"type: none", "port: 80, health: {type: tcp}", balancer.HealthTCP},
		{"type: http", "port: 53, protocol: udp, health: {port: 80}", balancer.HealthHTTP},
	} {
		if got := parseServices(t, fmt.Sprintf(file, test.health, test.service))[0].Health.Type; got != test.want {
			t.Errorf("default {%s}, service {%s}: type %v, want %v", test.health, test.service, got, test.want)
		}
	}
}

// TestDefaultWayOfChecks: through the tunnel, where there is one, whatever the check asks.
func TestDefaultWayOfChecks(t *testing.T) {
	const file = "defaults: {health: {via: tunnel}}\nservices: [{name: a, address: 192.0.2.1, port: 80, mode: %s, health: {type: %s}, backends: []}]"
	for mode, tunnel := range map[string]bool{"nat": false, "dsr": false, "ipip": true, "gue": true, "gre": true} {
		for _, kind := range []string{"tcp", "http"} {
			if got := parseServices(t, fmt.Sprintf(file, mode, kind))[0].Health.ViaTunnel; got != tunnel {
				t.Errorf("mode %s, %s: through a tunnel: %t", mode, kind, got)
			}
		}
	}
}

// TestWrongDefaults: what is wrong is told where it stands, and once.
func TestWrongDefaults(t *testing.T) {
	const services = `
services:
  - {name: a, address: 192.0.2.1, port: 80, mode: fullnat, backends: []}
  - {name: b, address: 192.0.2.2, port: 80, mode: fullnat, backends: []}
  - {name: c, address: 192.0.2.3, port: 80, health: {timeout: 3s}, backends: []}
`
	for defaults, want := range map[string]string{
		"defaults: {health: {path: up, type: http, interval: 9s}, snat-addresses: [10.0.0.5]}": `f:1: defaults.health.path: "up" is no path; want one that starts with a slash and has no blanks, as in /health`,
		"defaults: {snat-addresses: [10.0.0.5, 127.0.0.1]}":                                    `f:1: defaults.snat-addresses[1]: 127.0.0.1 is a loopback address; want an address that one host can have on the network`,
		"defaults: {snat-addresses: [10.0.0.5], health: {interval: 1s}}":                       `f:5: services[2].health.timeout: 3s is longer than the interval; want at most 1s`,
		"defaults: {snat-addresses: [10.0.0.5], name: x}": `f:1: defaults.name: unknown key; want one of: affinity, algorithm, announce, below-min-healthy, drain-time, gue, health, min-healthy, mode, on-down, on-no-backend, persistence, protocol, ` +
			`slow-start, snat-addresses, snat-ports, tunnel-source`,
		"defaults: {snat-addresses: [10.0.0.5], algorithm: wlc}": `f:1: defaults.algorithm: unknown algorithm "wlc"; want round-robin, weighted-round-robin, weighted, least-conn, two-choices, ` +
			`source-hash or maglev (write least-conn, which goes by the weights)`,
		"defaults: {snat-addresses: [10.0.0.5], announce: bgp}":  `f:1: defaults.announce: unknown way to announce "bgp"; want none, local or arp (write local, from which a routing daemon takes it)`,
		"defaults: {snat-addresses: [10.0.0.5], min-healthy: 0}": `f:1: defaults.min-healthy: "0" is no number of backends; want one as in 2, a share as in "50%", or none`,
		"defaults: {persistence: {group: x}}":                    `f:1: defaults.persistence.timeout: is missing; want how long a client without a connection is remembered, as in 10m`,
		"default: {snat-addresses: [10.0.0.5]}":                  `f:1: default: unknown key; did you mean "defaults"?`,
		"defaults: []":                                           "f:1: defaults: want keys with values (one of: " + strings.Join(defaultKeys.names(), ", ") + "), not a list",
	} {
		_, err := Parse("f", []byte(defaults+services))
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) || strings.Count(err.Error(), want) != 1 {
			t.Errorf("%s:\n got %v\nwant %s", defaults, err, want)
		}
	}
}

// TestDefaultsAreWhatServicesWouldSay: a file in which a block of all services is moved to
// the defaults means the same.
func TestDefaultsAreWhatServicesWouldSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs(4).Draw(t, "spec")
		before, err := Parse("f", []byte(render(spec)))
		if err != nil {
			t.Fatal(err)
		}
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(render(spec)), &root); err != nil {
			t.Fatal(err)
		}
		shared := move(t, root.Content[0])
		file, err := yaml.Marshal(&root)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Parse("f", file)
		if err != nil {
			t.Fatalf("%s moved: %v\n%s", shared, err, file)
		}
		if diff := cmp.Diff(before.Spec, after.Spec, compareAddresses); diff != "" {
			t.Fatalf("%s moved (-before +after):\n%s\n%s", shared, diff, file)
		}
	})
}

// move moves the first service's own value of a key that all have to the defaults, and
// takes it out of each service that has the same.
func move(t *rapid.T, root *yaml.Node) string {
	services := root.Content[1].Content
	name := rapid.SampledFrom([]string{"protocol", "mode", "algorithm", "on-no-backend", "on-down", "drain-time"}).Draw(t, "key")
	_, first := entry(services[0], name)
	kept := *first
	for _, s := range services {
		for i := 0; i < len(s.Content); i += 2 {
			if s.Content[i].Value == name && s.Content[i+1].Value == kept.Value {
				s.Content = slices.Delete(s.Content, i, i+2)
				break
			}
		}
	}
	word := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
	root.Content = append(root.Content, word("defaults"), &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{word(name), &kept}})
	return name
}

// TestDefaultMinHealthy: what a service falls back on can be said for all, and counts where
// it means something.
func TestDefaultMinHealthy(t *testing.T) {
	const two = "backends: [{address: 10.0.0.1}, {address: 10.0.0.2, backup: true, max-conns: 7}]"
	const file = "defaults: {slow-start: 30s, %s}\nservices: [{name: a, address: 192.0.2.1, port: 80, %s}]"
	half, one := balancer.MinHealthy{Percent: 50}, balancer.MinHealthy{Count: 1}
	for _, test := range []struct {
		defaults, service string
		min               balancer.MinHealthy
		below             balancer.BelowMinHealthy
	}{
		{"min-healthy: 50%", two, half, balancer.Panic},
		{"min-healthy: 50%", two + ", min-healthy: none", balancer.MinHealthy{}, balancer.Panic},
		{"min-healthy: 50%, below-min-healthy: down", two + ", min-healthy: none", balancer.MinHealthy{}, balancer.Panic},
		{"min-healthy: 50%, below-min-healthy: down", two + ", min-healthy: 1", one, balancer.TakeDown},
		{"below-min-healthy: down", two, balancer.MinHealthy{}, balancer.Panic},
		{"below-min-healthy: down", two + ", min-healthy: 1", one, balancer.TakeDown},
		{"min-healthy: 50%, below-min-healthy: backup", two, half, balancer.JoinBackup},
		{"min-healthy: 50%, below-min-healthy: backup", "backends: [{address: 10.0.0.1}]", balancer.MinHealthy{}, balancer.Panic},
		{"min-healthy: 50%, below-min-healthy: backup", "backends: [{address: 10.0.0.1}], below-min-healthy: panic", half, balancer.Panic},
	} {
		s := parseServices(t, fmt.Sprintf(file, test.defaults, test.service))[0]
		if s.MinHealthy != test.min || s.BelowMin != test.below || s.SlowStart != 30*time.Second {
			t.Errorf("defaults {%s}, service {%s}: %v, %v, slow-start %v; want %v, %v", test.defaults, test.service, s.MinHealthy, s.BelowMin, s.SlowStart, test.min, test.below)
		}
		if len(s.Backends) == 2 && (!s.Backends[1].Backup || s.Backends[1].MaxConns != 7 || s.Backends[0].Backup) {
			t.Errorf("backends %+v", s.Backends)
		}
	}
	for text, want := range map[string]string{
		"min-healthy: 2, " + two:                                                     "f:1: services[0].min-healthy: 2 is more than the 1 that are no backup; want 1 at most, or a share as in 50%",
		"below-min-healthy: down, " + two:                                            "f:1: services[0].below-min-healthy: down without min-healthy never comes true; want min-healthy too",
		"protocol: udp, health: {type: none}, " + two:                                "f:1: services[0].backends[1].max-conns: counts connections, and udp has none",
		"slow-start: -1s, " + two:                                                    "f:1: services[0].slow-start: -1s is out of range; want 0s to 24h",
		"min-healthy: 1, below-min-healthy: backup, backends: [{address: 10.0.0.1}]": "f:1: services[0].below-min-healthy: backup has backup backends join, and there are none",
	} {
		if _, err := Parse("f", []byte("services: [{name: a, address: 192.0.2.1, port: 80, "+text+"}]")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
)

// applied are the fields that a reload applies.
var applied = []string{"Log.Level", "Conntrack.Timeouts.", "Spec."}

// leaves calls f for each field of a struct and of the structs in it, with its
// path.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		at, field := path+v.Type().Field(i).Name, v.Field(i)
		if _, single := field.Interface().(netip.Addr); field.Kind() == reflect.Struct && !single {
			leaves(field, at+".", f)
		} else {
			f(at, field)
		}
	}
}

// change gives a field another value than it has.
func change(t *testing.T, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Struct: // netip.Addr
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.99")))
	case reflect.Slice:
		element := reflect.New(v.Type().Elem()).Elem()
		if element.Kind() == reflect.String {
			element.SetString("x")
		}
		v.Set(reflect.Append(v, element))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	default:
		t.Fatalf("%s: this test knows no other %v; teach it", path, v.Kind())
	}
}

// needsRestart returns the keys in which c differs from the config that runs and which a
// reload cannot apply.
func needsRestart(c, running *Config) (names []string) {
	for _, change := range c.Changes(running) {
		if change.Restart {
			names = append(names, change.Key)
		}
	}
	return names
}

// TestNoFieldIsForgotten changes each field of Config: either it is one that a
// reload applies, or just its key is named.
func TestNoFieldIsForgotten(t *testing.T) {
	named := map[string]bool{}
	running := Default()
	leaves(reflect.ValueOf(running).Elem(), "", func(path string, _ reflect.Value) {
		changed := Default()
		leaves(reflect.ValueOf(changed).Elem(), "", func(at string, v reflect.Value) {
			if at == path {
				change(t, path, v)
			}
		})
		got := needsRestart(changed, running)
		if slices.ContainsFunc(applied, func(a string) bool { return strings.HasPrefix(path, a) }) {
			if len(got) > 0 {
				t.Errorf("%s is applied by a reload, but %q need a restart", path, got)
			}
			return
		}
		if len(got) != 1 || named[got[0]] {
			t.Errorf("%s changed: %q need a restart; want one key of its own (or add it to applied)", path, got)
			return
		}
		named[got[0]] = true
		if back := needsRestart(running, changed); !slices.Equal(got, back) {
			t.Errorf("%s changed back: %q, want %q", path, back, got)
		}
	})
}

// TestNoChangeIsForgotten changes each field of a config, a service and a backend: just one
// key is told, and none if nothing has changed.
func TestNoChangeIsForgotten(t *testing.T) {
	every := func(v reflect.Value, changes func() []Change, told ...string) {
		t.Helper()
		if got := changes(); got != nil {
			t.Errorf("nothing has changed, and %+v is told", got)
		}
		leaves(v, "", func(path string, v reflect.Value) {
			if slices.Contains(told, path) {
				return
			}
			was := reflect.New(v.Type()).Elem()
			was.Set(v)
			change(t, path, v)
			if got := changes(); len(got) != 1 || got[0].Old == got[0].New {
				t.Errorf("%s has changed, and %+v is told; want one key", path, got)
			}
			v.Set(was)
		})
	}
	was, is := Default(), Default()
	every(reflect.ValueOf(is).Elem(), func() []Change { return is.Changes(was) }, "Spec.Services")
	s := balancer.ServiceSpec{Protocol: balancer.TCP, Address: netip.MustParseAddr("192.0.2.1"), First: 7, Last: 7}
	s.Persistence.Timeout = time.Minute
	s.Health.Query, s.Health.Rcodes = balancer.QueryA, 1 // what 0 means
	service, before := s, s
	every(reflect.ValueOf(&service).Elem(), func() []Change { return ServiceChanges(&before, &service) }, "Backends")
	b := balancer.BackendSpec{Address: netip.MustParseAddr("10.0.0.1")}
	former := b
	every(reflect.ValueOf(&b).Elem(), func() []Change { return BackendChanges(&former, &b) })
}

// Changes are told in the words of the file.
func TestChanges(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("f", []byte("interface: eth0\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	was := parse(`queues: 0-1
log: {level: info}
conntrack: {timeouts: {tcp-established: 1h}}
neighbours: {10.0.0.1: 02:00:00:00:00:01, 10.0.0.2: {mac: 02:00:00:00:00:02, tags: [5]}, 10.0.0.3: 02:00:00:00:00:03}
services: [{name: a, address: 192.0.2.1, port: 80, backends: [{name: x, address: 10.0.0.1}]}]
`)
	is := parse(`queues: 0,1,3
log: {level: debug}
conntrack: {timeouts: {tcp-established: 1500ms}}
neighbours: {10.0.0.1: 02:00:00:00:00:01, 10.0.0.2: {mac: 02:00:00:00:00:02, tags: ["802.1ad:5", 7]}, 10.0.0.4: 02:00:00:00:00:04}
services:
- {name: b, address: 192.0.2.1, port: 80, algorithm: maglev, persistence: {timeout: 10m, prefix: 24/56}, mode: fullnat,
   snat-addresses: [10.0.0.8, 10.0.0.9], snat-ports: 2000-3000,
   health: {type: http, port: 81, expect: [200, 300-399], interval: 500ms}, backends: [{name: x, address: 10.0.0.1, weight: 0}]}
`)
	udp := "services: [{address: 192.0.2.1, port: 53, protocol: udp, backends: [{name: x, address: 10.0.0.1}], "
	dns := parse(udp + `name: u, health: {type: udp, send: ping, expect: "hex:00ff"}}]`)
	other := parse(udp + `name: d, health: {type: dns, name: example.org, query: MX, rcode: [noerror, nxdomain]}}]`)
	for _, test := range []struct {
		got  []Change
		want []Change
	}{
		{is.Changes(was), []Change{
			{"queues", "0-1", "0-1,3", true},
			{"log.level", "info", "debug", false},
			{"conntrack.timeouts.tcp-established", "1h", "1.5s", false},
			{"neighbours.10.0.0.2.tags", "5", "802.1ad:5, 7", false},
			{"neighbours.10.0.0.4", "", "02:00:00:00:00:04", false},
			{"neighbours.10.0.0.3", "02:00:00:00:00:03", "", false},
		}},
		{ServiceChanges(&was.Spec.Services[0], &is.Spec.Services[0]), []Change{
			{"name", "a", "b", false},
			{"mode", "nat", "fullnat", false},
			{"algorithm", "round-robin", "maglev", false},
			{"snat-addresses", "", "10.0.0.8, 10.0.0.9", false},
			{"snat-ports", "", "2000-3000", false},
			{"persistence.timeout", "", "10m", false},
			{"persistence.prefix", "", "24/56", false},
			{"health.type", "tcp", "http", false},
			{"health.port", "", "81", false},
			{"health.interval", "5s", "500ms", false},
			{"health.timeout", "2s", "500ms", false},
			{"health.path", "", "/", false},
			{"health.expect", "", "200, 300-399", false},
		}},
		{ServiceChanges(&dns.Spec.Services[0], &other.Spec.Services[0]), []Change{
			{"name", "u", "d", false},
			{"health.type", "udp", "dns", false},
			{"health.expect", "hex:00ff", "", false},
			{"health.send", "ping", "", false},
			{"health.name", "", "example.org", false},
			{"health.query", "A", "MX", false},
			{"health.rcode", "noerror", "noerror, nxdomain", false},
		}},
		{BackendChanges(&was.Spec.Services[0].Backends[0], &is.Spec.Services[0].Backends[0]), []Change{{"weight", "1", "0", false}}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	}
}

// TestNeedsRestart goes by files: each changes one thing, and the keys are those
// that the file has.
func TestNeedsRestart(t *testing.T) {
	const base = "interface: eth0\nqueues: 0-3\n"
	for _, test := range []struct {
		name, file string
		want       []string
	}{
		{"the same", base, nil},
		{"one more", "interfaces: [eth0, eth1]\nqueues: 0-3\n", []string{"interface"}},
		{"the other spelling", "interfaces: [eth0]\nqueues: 0,1,2-3\n", nil},
		{"defaults written out", base + `cpus: 1
xdp-mode: auto
driver: native
poll: adaptive
listen: 127.0.0.1:9190
state-file: /var/lib/afxlb/state.json
log: {level: info, format: console}
conntrack: {max-flows: 1000000, timeouts: {tcp-syn: 10s, tcp-established: 900s, icmp: 10000ms}}
`, []string{"cpus"}},
		{"what a reload applies", base + "log: {level: debug}\nconntrack: {timeouts: {udp-new: 1s}}\n", nil},
		{"order of the queues", "interface: eth0\nqueues: 3,0-2\n", []string{"queues"}},
		{"everything", `
conntrack: {max-flows: 5, timeouts: {icmp: 1s}}
log: {level: debug, format: json}
listen: "[::1]:80"
state-file: none
api: {listen: ":9191", cert: /c, key: /k, client-ca: /a}
poll: busy
driver: asavie
frame-size: 4096
xdp-mode: copy
cpus: 3
interface: eth1
`, []string{"interface", "queues", "cpus", "xdp-mode", "driver", "frame-size", "poll", "listen", "state-file", "api.listen", "api.cert", "api.key", "api.client-ca", "log.format", "conntrack.max-flows"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			running, err := Parse("running", []byte(base+"services: []\n"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse("f", []byte(test.file+"services: [{name: a, address: 192.0.2.1, port: 80, backends: []}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, needsRestart(c, running)); diff != "" {
				t.Errorf("keys that need a restart (-want +got):\n%s", diff)
			}
		})
	}
}

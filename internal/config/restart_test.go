package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// applied are the fields that a reload applies.
var applied = []string{"Log.Level", "Conntrack.Timeouts.", "Spec."}

// leaves calls f for each field of a struct and of the structs in it, with its
// path.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		at, field := path+v.Type().Field(i).Name, v.Field(i)
		if field.Kind() == reflect.Struct {
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
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	default:
		t.Fatalf("%s: this test knows no other %v; teach it", path, v.Kind())
	}
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
		got := changed.NeedsRestart(running)
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
		if back := running.NeedsRestart(changed); !slices.Equal(got, back) {
			t.Errorf("%s changed back: %q, want %q", path, back, got)
		}
	})
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
log: {level: info, format: console}
conntrack: {max-flows: 1000000, timeouts: {tcp-syn: 10s, tcp-established: 900s, icmp: 10000ms}}
`, []string{"cpus"}},
		{"what a reload applies", base + "log: {level: debug}\nconntrack: {timeouts: {udp-new: 1s}}\n", nil},
		{"order of the queues", "interface: eth0\nqueues: 3,0-2\n", []string{"queues"}},
		{"everything", `
conntrack: {max-flows: 5, timeouts: {icmp: 1s}}
log: {level: debug, format: json}
listen: "[::1]:80"
api: {listen: ":9191", cert: /c, key: /k, client-ca: /a}
poll: busy
driver: asavie
frame-size: 4096
xdp-mode: copy
cpus: 3
interface: eth1
`, []string{"interface", "queues", "cpus", "xdp-mode", "driver", "frame-size", "poll", "listen", "api.listen", "api.cert", "api.key", "api.client-ca", "log.format", "conntrack.max-flows"}},
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
			if diff := cmp.Diff(test.want, c.NeedsRestart(running)); diff != "" {
				t.Errorf("keys that need a restart (-want +got):\n%s", diff)
			}
		})
	}
}

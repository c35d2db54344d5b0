package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestDocuments: one document counts, empty ones beside it do not.
func TestDocuments(t *testing.T) {
	for _, ok := range []string{
		"---\nservices: []\n", "services: []\n...\n", "services: []\n---\n", "---\n---\nservices: []\n",
		"%YAML 1.1\n---\nservices: []\n", "\ufeffservices: []\n", "&top\nservices: []\n",
	} {
		if _, err := Parse("f", []byte(ok)); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	const empty = "f:1: the file is empty; want at least the key services"
	for data, want := range map[string]string{
		"": empty, "\n\n": empty, "# a comment\n": empty, "---\n": empty, "---\n---\n": empty, "~\n": empty, "null": empty,
		"services: []\n---\nservices: []\n---\n{": "f:3: a second YAML document starts here; want one document",
		"- services\n":         "f:1: want keys with values (one of: " + strings.Join(topKeys.names(), ", ") + "), not a list",
		"!!map {services: []}": "f:1: the tag !!map is not used here; remove it",
		"*a":                   "f:1: alias *a has no anchor &a in this file",
	} {
		if _, err := Parse("f", []byte(data)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", data, err, want)
		}
	}
}

// TestKeysThatAreNoWords: YAML allows anything for a key.
func TestKeysThatAreNoWords(t *testing.T) {
	one := "want one of: " + strings.Join(topKeys.names(), ", ")
	for data, want := range map[string]string{
		"? [a, b]\n: 1\n":                        "f:1: has a list for a key; " + one,
		"? {a: b}\n: 1\n":                        "f:1: has keys with values for a key; " + one,
		"poll: &driver busy\n*driver : asavie\n": "f:2: has an alias for a key; " + one,
		"!!str driver: asavie\n":                 "f:1: driver: the tag !!str is not used here; remove it",
		"\"<<\": 1\n":                            "f:1: <<: unknown key; " + one,
		"<<: 1\n":                                "f:1: <<: merge keys are not supported; write under defaults what services share, or use an alias for a whole block",
		"1: 2\n":                                 "f:1: 1: unknown key; " + one,
		strings.Repeat("x", 1000) + ": 1\n":      "f:1: " + strings.Repeat("x", 60) + "…: unknown key; " + one,
		strings.Repeat("äö", 300) + ": 1\n":      "f:1: " + strings.Repeat("äö", 15) + "…: unknown key; " + one,
	} {
		if _, err := Parse("f", []byte(data+"services: []\n")); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", data, err, want)
		}
	}
}

// TestAliasesLeadAnywhere: before or after their anchor, to a single value, and
// in circles, which no key of a config lets anybody follow.
func TestAliasesLeadAnywhere(t *testing.T) {
	s := parseServices(t, `
services:
  - {name: a, address: &vip 192.0.2.1, port: &port 80, backends: *pool}
  - {name: b, address: *vip, port: 81, backends: &pool [{address: 10.0.0.1, port: *port}]}
`)
	if s[1].Address != addr("192.0.2.1") || s[0].Backends[0] != s[1].Backends[0] || s[0].Backends[0].Port != 80 {
		t.Errorf("aliases were not followed: %+v", s)
	}
	_, err := Parse("f", []byte("services: &s\n- *s\n- {name: a, port: 80, address: x, backends: *s, health: &h {type: *h}}\n"))
	want := `f:2: services[0]: want keys with values (one of: ` + strings.Join(serviceKeys.names(), ", ") + `), not a list
f:2: services[1].backends[0]: want keys with values (one of: address, backup, max-conns, name, port, weight), not a list
f:3: services[1].address: "x" is not an IP address; want one alone, as in 192.0.2.10 or 2001:db8::10 (it is a host name; names are not looked up: what one means changes without this file, and whoever answers would say where traffic goes)
f:3: services[1].health.type: want a single value, not keys with values
f:3: services[1].backends[1].backends: unknown key; want one of: address, backup, max-conns, name, port, weight
f:3: services[1].backends[1].health: is known, but not built yet; remove it (all backends of a service are asked alike)
f:3: services[1].backends[1].address: "x" is not an IP address; want one alone, as in 192.0.2.10 or 2001:db8::10 (it is a host name; names are not looked up: what one means changes without this file, and whoever answers would say where traffic goes)`
	if err == nil || err.Error() != want {
		t.Errorf("circles:\n got %v\nwant %s", err, want)
	}
}

// TestAliasesAreBounded: a small file cannot stand for more than the memory holds.
func TestAliasesAreBounded(t *testing.T) {
	const tooMany = "f:1: the aliases of this file repeat more than 1000000 values; write fewer"
	var pool, services strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&pool, "  - {address: 10.0.%d.%d}\n", i/250, i%250+1)
	}
	for i := range 2000 {
		fmt.Fprintf(&services, "- {name: s%d, address: 192.0.2.1, port: %d, backends: *pool}\n", i, i+1)
	}
	quadratic := "services:\n- name: s\n  address: 192.0.2.1\n  port: 65535\n  backends: &pool\n" + pool.String() + services.String()

	// The "billion laughs": each list has nine of the one before. Nothing here
	// takes lists of lists, so they are not followed, however many they are.
	laughs := "log: {level: &a0 [lol]}\n"
	for i := range 9 {
		laughs += fmt.Sprintf("x%d: &a%d [%s]\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9))
	}
	laughs += "services: *a9\n"

	_, err := Parse("f", []byte(quadratic))
	if err == nil || err.Error() != tooMany {
		t.Errorf("quadratic: %v", err)
	}
	// The same with keys that nothing reads.
	unknown := "services:\n- &x\n" + strings.Repeat("  y: 1\n", 2000) + strings.Repeat("- *x\n", 2000)
	_, err = Parse("f", []byte(unknown))
	const first = "f:1: there are more than 10000 problems; these are the first, mend them and look again"
	if problems, ok := err.(Problems); !ok || problems[0].String() != first || len(problems) > 12_000 {
		t.Errorf("unknown keys: %d problems", len(problems))
	}
	_, err = Parse("f", []byte(laughs))
	if problems, ok := err.(Problems); !ok || len(problems) > 30 {
		t.Errorf("laughs: %v", err)
	}
	// A pool that many share is what aliases are for.
	if _, err := Parse("f", []byte(quadratic[:strings.Index(quadratic, "- {name: s30,")])); err != nil {
		t.Errorf("30 services of one pool: %v", err)
	}
}

// TestLongValues: neither a message nor all of them together fill the memory, even
// where aliases repeat what they are about.
func TestLongValues(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for data, want := range map[string]string{
		"driver: " + long:              "f:1: driver: 65536 bytes are too long; want at most 1024",
		"log: |\n  first\n  second":    "f:1: log: want keys with values (one of: format, level), not the single value \"first…\"",
		"log: " + long:                 "f:1: log: want keys with values (one of: format, level), not the single value \"" + long[:60] + "…\"",
		"driver: *" + long:             "f:1: driver: alias *" + long[:60] + "… has no anchor &" + long[:60] + "… in this file",
		"driver: !" + long + " asavie": "f:1: driver: the tag !" + long[:59] + "… is not used here; remove it",
	} {
		if _, err := Parse("f", []byte(data+"\nservices: []\n")); err == nil || err.Error() != want {
			t.Errorf("%.20q…:\n got %.500v\nwant %s", data, err, want)
		}
	}
	data := "services:\n- &s {? " + long + " : 1, port: &p " + long + ", address: *p}\n" + strings.Repeat("- *s\n", 1000)
	_, err := Parse("f", []byte(data))
	if problems, ok := err.(Problems); !ok || len(problems) < 3000 || len(err.Error()) > 1<<20 {
		t.Errorf("%d problems, a text of %d bytes", len(problems), len(err.Error()))
	}
}

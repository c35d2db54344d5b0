package config

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -run TestGenerated -generate .

var generate = flag.Bool("generate", false, "write the files that are made from the tables of keys")

// TestGenerated: what editors and people are told of the file is what the code reads.
func TestGenerated(t *testing.T) {
	for path, want := range map[string][]byte{
		"../../docs/CONFIG.md":              Reference(),
		"../../packaging/afxlb.schema.json": Schema(),
	} {
		if *generate {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code says: run make generate and commit", path)
		}
	}
}

// TestEveryKeyIsTold: a key without a word about it is of use to nobody.
func TestEveryKeyIsTold(t *testing.T) {
	each("", topKeys.settings(), func(path string, k setting) {
		if k.about == "" || k.words == "" || k.schema == nil && k.block == nil {
			t.Errorf("%s: nothing is said of it: %+v", path, k)
		}
	})
}

// each calls f for every key there is.
func each(path string, settings []setting, f func(path string, k setting)) {
	for _, k := range settings {
		at := strings.TrimPrefix(path+"."+k.name, ".")
		f(at, k)
		if k.block != nil {
			each(at+k.brackets(), k.block(), f)
		}
	}
}

// TestToldDefaults: a default that the page names and that a file can name is the same
// written out as left out.
func TestToldDefaults(t *testing.T) {
	const service = "services: [{name: a, address: 192.0.2.1, port: 80, mode: gue, snat-addresses: [], backends: []%s}]\n"
	checked := 0
	each("", topKeys.settings(), func(path string, k setting) {
		block, key, _ := strings.Cut(path, "[].")
		var without, with string
		switch {
		case k.unset == "" || k.block != nil || strings.Contains(k.unset, " "):
			return
		case block == "services" && !strings.Contains(key, "."):
			without, with = "", ", "+key+": "+k.unset
		case block == "services" && strings.HasPrefix(key, "health."):
			kind := "type: https, path: /"
			switch k.name {
			case "via", "body":
				return // of tcp, and no value
			case "query", "rcode":
				kind = "type: dns, name: a"
			case "path":
				kind = "type: http"
			}
			without, with = ", health: {"+kind+"}", ", health: {"+kind+", "+strings.TrimPrefix(key, "health.")+": "+k.unset+"}"
			if k.name == "type" {
				with = without
			}
		case block == "services" && strings.HasPrefix(key, "gue."):
			without, with = "", ", gue: {"+strings.TrimPrefix(key, "gue.")+": "+k.unset+"}"
		default:
			return
		}
		if k.name == "mode" || k.name == "snat-ports" || k.name == "expect" {
			return // not of this file's mode; expect's is what an empty list means
		}
		checked++
		a, err1 := Parse("without", []byte(strings.Replace(service, "%s", without, 1)))
		b, err2 := Parse("with", []byte(strings.Replace(service, "%s", with, 1)))
		if err1 != nil || err2 != nil {
			t.Errorf("%s: %v, %v", path, err1, err2)
		} else if diff := cmp.Diff(a, b, compareAddresses); diff != "" {
			t.Errorf("%s: %s is not the default:\n%s", path, k.unset, diff)
		}
	})
	each("", topKeys.settings(), func(path string, k setting) {
		if k.unset == "" || k.block != nil || strings.Contains(k.unset, " ") || strings.Contains(path, "[]") || strings.HasPrefix(path, "neighbours") || strings.HasPrefix(path, "defaults") {
			return
		}
		checked++
		got, err := Parse("f", []byte(nested(path, k.unset)+"services: []\n"))
		want, _ := Parse("f", []byte("services: []\n"))
		if diff := cmp.Diff(want, got, compareAddresses); err != nil || diff != "" {
			t.Errorf("%s: %s is not the default: %v\n%s", path, k.unset, err, diff)
		}
	})
	if checked < 25 {
		t.Errorf("only %d defaults were looked at", checked)
	}
}

// nested returns YAML that sets one key.
func nested(path, v string) string {
	parts := strings.Split(path, ".")
	for _, p := range slices.Backward(parts[1:]) {
		v = "{" + p + ": " + v + "}"
	}
	return parts[0] + ": " + v + "\n"
}

// TestToldRestarts: the page says of a key that it needs a restart if the reload says so.
func TestToldRestarts(t *testing.T) {
	other := map[string]string{
		"interface": "eth7", "interfaces": "[eth7, eth8]", "queues": "7", "cpus": "7", "xdp-mode": "copy", "driver": "asavie", "frame-size": "4096", "poll": "busy",
		"state-file": "none", "listen": "127.0.0.1:1", "log.level": "debug", "log.format": "json", "conntrack.max-flows": "7",
	}
	base, err := Parse("f", []byte("services: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	each("", topKeys.settings(), func(path string, k setting) {
		if strings.Contains(path, "[]") || k.block != nil || strings.HasPrefix(path, "neighbours") || strings.HasPrefix(path, "defaults") {
			if k.restart {
				t.Errorf("%s: a reload applies it, and the page says that it needs a restart", path)
			}
			return
		}
		v := other[path]
		if v == "" && strings.HasPrefix(path, "conntrack.timeouts.") {
			v = "777s"
		}
		file := nested(path, v)
		if strings.HasPrefix(path, "api.") { // all of them, or none
			file = "api: {listen: :1, cert: /c, key: /k, client-ca: /a}\n"
		}
		c, err := Parse("f", []byte(file+"services: []\n"))
		if err != nil {
			t.Errorf("%s: %v (a new key wants another value than its default here)", path, err)
		} else if needs := len(needsRestart(c, base)) > 0; needs != k.restart {
			t.Errorf("%s needs a restart: %t; the page says: %t", path, needs, k.restart)
		}
	})
}

package config

import (
	"errors"
	"testing"
)

// loadFile loads a file that is YAML.
func loadFile(t *testing.T, data string) *file {
	t.Helper()
	f := newFile("f", len(data))
	if err := f.load([]byte(data)); err != nil || f.root == nil {
		t.Fatalf("load: %v, %v", err, f.problems)
	}
	return f
}

func TestLineOfMissingThings(t *testing.T) {
	f := loadFile(t, `
# the first line of a file is that of all that is not in it
services:
  - name: a
    health: &probe
      path: /x
  -
    name: b
    backends:
      - port: 1
      - &last
        adress: x
  - {name: c, health: *probe, backends: [*last]}
  - *nowhere
  - plain
`)
	for path, want := range map[string]int{
		"":                                1,
		"interface":                       1,
		"services":                        3,
		"services[5]":                     3,
		"services[5].name":                3,
		"services[0]":                     4,
		"services[0].port":                4,
		"services[0].health.path":         6,
		"services[0].health.path.x":       6,
		"services[0].health.type":         5,
		"services[1]":                     8,
		"services[1].name[0]":             8,
		"services[1].health.path":         8,
		"services[1].backends[0].name":    10,
		"services[1].backends[1].name":    11,
		"services[1].backends[1].address": 12, // misspelt
		"services[1].backends[2].name":    9,
		"services[2].health.path":         6, // where the alias leads
		"services[2].health.type":         13,
		"services[2].backends[0].address": 12,
		"services[3].name":                14,
		"services[4].name":                15,
	} {
		if got, _ := f.locate(f.root, path); got != want {
			t.Errorf("line of %q: %d, want %d", path, got, want)
		}
	}
}

func TestCover(t *testing.T) {
	known := Problems{{Path: "services[1].backends"}, {Path: "services[2]"}, {Path: ""}, {Path: "services[2].name"}, {Path: "log.level"}}.cover()
	for path, want := range map[string]bool{
		"services[1].backends":         true,
		"services[1].backends[0].name": true, // below one
		"services[1]":                  true, // above one
		"services":                     true,
		"services[1].name":             false,
		"services[1].backendsX":        false,
		"services[2].health.type":      true,
		"services[2].name":             true,
		"services[20]":                 false,
		"services[3].name":             false,
		"log.format":                   false,
		"interface":                    false, // a problem of the whole file says nothing of its parts
	} {
		if got := known.has(path); got != want {
			t.Errorf("a problem of %q is known: %v", path, got)
		}
	}
	if (Problems{}).cover().has("services") {
		t.Error("no problems cover something")
	}
}

func TestProblemsPrintInOrder(t *testing.T) {
	f := newFile("f", 0)
	if err := f.sorted(); err != nil {
		t.Errorf("no problems are the error %v", err)
	}
	f.add(7, "b", "second")
	f.add(2, "", "first")
	f.add(7, "a", "third")
	const want = "f:2: first\nf:7: b: second\nf:7: a: third"
	err := f.sorted()
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 || problems[0].Line != 2 {
		t.Errorf("%v is not the Problems that were added", err)
	}
}

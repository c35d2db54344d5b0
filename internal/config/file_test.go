package config

import (
	"errors"
	"testing"
)

func TestLineOfMissingThings(t *testing.T) {
	f := file{lines: map[string]int{"": 1, "services": 3, "services[1]": 9, "services[1].backends[0]": 12}}
	for path, want := range map[string]int{
		"":                             1,
		"interface":                    1,
		"services":                     3,
		"services[0]":                  3,
		"services[0].name":             3,
		"services[1]":                  9,
		"services[1].health.path":      9,
		"services[1].backends[0].name": 12,
		"services[1].backends[1].name": 9,
	} {
		if got := f.line(path); got != want {
			t.Errorf("line of %q: %d, want %d", path, got, want)
		}
	}
}

func TestProblemsCover(t *testing.T) {
	known := Problems{{Path: "services[1].backends"}, {Path: "services[2]"}, {Path: ""}}
	for path, want := range map[string]bool{
		"services[1].backends":         true,
		"services[1].backends[0].name": true, // below one
		"services[1]":                  true, // above one
		"services[1].name":             false,
		"services[1].backendsX":        false,
		"services[2].health.type":      true,
		"services[20]":                 false,
		"services[3].name":             false,
		"interface":                    false, // a problem of the whole file says nothing of its parts
	} {
		if got := known.cover(path); got != want {
			t.Errorf("cover(%q) = %v", path, got)
		}
	}
}

func TestProblemsPrintInOrder(t *testing.T) {
	f := file{name: "f", lines: map[string]int{"": 1}}
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

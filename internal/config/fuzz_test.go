package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var problemLine = regexp.MustCompile(`^f:([1-9][0-9]*): \S`)

// FuzzParse: no file makes the parser panic or hang, every line of an error says
// where, no further down than the file is long, and what is accepted is a Spec
// that the balancer accepts.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/wrong/*.yaml")
	for _, path := range append(files, "../../packaging/afxlb.example.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "services: []", "a: &a [*a]", "services: &s [*s]", "? a\n: b", "- ", "{", "&a", "*a", "---\n---", "a: |\n  b", "<<: 1", "a: 0\rb: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err == nil {
			if problems := c.Spec.Validate(); len(problems) > 0 {
				t.Fatalf("accepted, but the spec is wrong: %v", problems)
			}
			return
		}
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") // YAML ends a line at either
		var problems Problems
		if errors.As(err, &problems) {
			for _, p := range problems {
				if p.Line < 1 || p.Line > lines || p.Text == "" {
					t.Errorf("problem without a place in the file: %v", p)
				}
			}
			return
		}
		if !problemLine.MatchString(err.Error()) {
			t.Errorf("error without file and line: %v", err)
		}
	})
}

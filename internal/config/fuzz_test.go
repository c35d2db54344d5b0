package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// lineEnd is what YAML 1.1 ends a line at.
var lineEnd = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

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
	for _, s := range []string{"", "services: []", "a: &a [*a]", "services: &s [*s]", "? a\n: b", "- ", "{", "&a", "*a", "---\n---", "a: |\n  b", "<<: 1", "a: 0\rb: 1", "services: &s [*t]\nx: &t [*s]", "? [a]\n: !!x &a b", "a: \u2028b: \xff",
		"defaults: &d {health: {type: http, path: x}, mode: gue, gue: {port: 0}, persistence: none}\nservices: [{name: a, address: 192.0.2.1, port: 80, health: {interval: 1s}, backends: []}, *d]", "defaults: {snat-addresses: [::1]}\nservices: [{mode: fullnat, name: a, address: 192.0.2.1, port: 1, backends: []}]", "\xff\xfea\x00", "lb_algo: wlc\nservices: [{lb_algo: wlc, algorithm: rr}]"} {
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
		lines := 1 + len(lineEnd.FindAll(data, -1))
		var problems Problems
		if errors.As(err, &problems) {
			for _, p := range problems {
				if p.Line < 1 || p.Line > lines || p.Text == "" {
					t.Errorf("problem without a place in the file: %v", p)
				}
			}
			return
		}
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Line > lines || syntax.Text == "" {
			t.Errorf("error without a place in the file: %v", err)
		}
	})
}

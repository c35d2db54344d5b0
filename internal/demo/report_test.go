package demo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name string
		head []string
		rows [][]any
		want []string
	}{
		{"numbers to the right, text to the left", []string{"NAME", "A", ""}, [][]any{{"x", 7, "ok"}, {"longer", uint64(1234), "WRONG"}}, []string{
			"   NAME       A",
			"   x          7  ok",
			"   longer  1234  WRONG",
		}},
		{"the head is the widest", []string{"CONNECTIONS", "BACKEND"}, [][]any{{1, "a"}}, []string{
			"   CONNECTIONS  BACKEND",
			"             1  a",
		}},
		{"characters, not bytes", []string{"N", "M"}, [][]any{{"é", "x"}, {"ab", "y"}}, []string{
			"   N   M",
			"   é   x",
			"   ab  y",
		}},
		{"no rows", []string{"A", "B"}, nil, []string{"   A  B"}},
	} {
		var out bytes.Buffer
		(&report{out: &out}).table(c.head, c.rows)
		if d := cmp.Diff(strings.Join(c.want, "\n")+"\n", out.String()); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.name, d)
		}
	}
}

func TestVerdict(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out}
	r.check("the sun rises", "")
	if err := r.verdict(); err != nil {
		t.Errorf("all held: %v", err)
	}
	if word := r.expect("pigs", "expected feet; saw wings"); word != "WRONG" {
		t.Errorf("the word for it is %q", word)
	}
	r.check("water flows", "expected down; saw up")
	err := r.verdict()
	want := "2 of the demo's 3 expectations did not hold:\n  pigs: expected feet; saw wings\n  water flows: expected down; saw up"
	if err == nil || err.Error() != want {
		t.Errorf("verdict %v, want %s", err, want)
	}
	wantOut := "   ok     the sun rises\n\nAll 1 expectations held.\n   WRONG  water flows: expected down; saw up\n"
	if d := cmp.Diff(wantOut, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

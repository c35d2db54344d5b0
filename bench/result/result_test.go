package result

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{9, 1}, Spread{5, 1, 9}},
		{[]float64{3, 100, 1, 2, 4}, Spread{3, 1, 100}}, // an outlier moves an end, not the median
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
		{[]float64{-1, 0, 1}, Spread{0, -1, 1}},
	} {
		g := Figure{Values: c.values}
		before := append([]float64(nil), c.values...)
		if got := g.Spread(); got != c.want {
			t.Errorf("spread of %v: %+v, want %+v", c.values, got, c.want)
		}
		if d := cmp.Diff(before, c.values); d != "" {
			t.Errorf("the order of rounds was changed: %s", d)
		}
	}
}

func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b Spread
		want bool
	}{
		{Spread{2, 1, 3}, Spread{5, 4, 6}, false},
		{Spread{2, 1, 4}, Spread{5, 4, 6}, true}, // they touch
		{Spread{5, 1, 9}, Spread{4, 3, 5}, true}, // one inside of the other
		{Spread{5, 5, 5}, Spread{5, 5, 5}, true},
	} {
		if c.a.Overlaps(c.b) != c.want || c.b.Overlaps(c.a) != c.want {
			t.Errorf("%+v and %+v: overlap is not %v both ways", c.a, c.b, c.want)
		}
	}
}

// two returns a file of two cases in two rounds.
func two() *File {
	f := &File{Commit: "abc", Command: []string{"bench", "engine"}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: time.Minute}
	for round := range 2 {
		for _, name := range []string{"one", "two"} {
			f.Add(Sample{Suite: "engine", Name: name, Table: "t", Labels: map[string]string{"flows": "1000"}, Values: []Value{
				{Name: "pass", Unit: "ns/packet", V: float64(10 + round)},
				{Name: "rate", Unit: "packets/s", More: true, V: 5e6},
			}})
		}
	}
	return f
}

func TestAddGathersRounds(t *testing.T) {
	f := two()
	if len(f.Cases) != 2 || f.Cases[0].Name != "one" || f.Cases[1].Name != "two" {
		t.Fatalf("cases %+v, want one and two in that order", f.Cases)
	}
	c := f.Case("engine", "two")
	want := []*Figure{
		{Name: "pass", Unit: "ns/packet", Values: []float64{10, 11}},
		{Name: "rate", Unit: "packets/s", More: true, Values: []float64{5e6, 5e6}},
	}
	if d := cmp.Diff(want, c.Figures); d != "" {
		t.Error(d)
	}
	if f.Case("live", "two") != nil || c.Figure("speed") != nil {
		t.Error("found what is not there")
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result.json")
	f := two()
	f.Machine = ThisMachine()
	f.Notes = []string{"haproxy is absent"}
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Error(d)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bad, filepath.Join(dir, "absent.json")} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("loading %s: %v, want an error that names it", path, err)
		}
	}
}

func TestMerge(t *testing.T) {
	f, o := two(), &File{Took: time.Second, Notes: []string{"n"}}
	o.Add(Sample{Suite: "live", Name: "one", Values: []Value{{Name: "rate", V: 1}}})
	if err := f.Merge(o); err != nil {
		t.Fatal(err)
	}
	if len(f.Cases) != 3 || f.Case("live", "one") == nil || f.Took != time.Minute+time.Second || len(f.Notes) != 1 {
		t.Errorf("merged: %+v", f)
	}
	if err := f.Merge(two()); err == nil {
		t.Error("two runs of one case were merged")
	}
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if m.CPUs < 1 || m.Kernel == "" || m.Go == "" || m.Memory < 1<<20 || len(strings.Fields(m.Load)) != 3 {
		t.Errorf("%+v", m)
	}
}

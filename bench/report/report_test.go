package report

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/bench/result"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; -update if it is meant to be so):\n%s", path, d)
	}
}

// sample is a run with two kinds of cases.
func sample(pass ...float64) *result.File {
	f := &result.File{
		Machine: result.Machine{CPU: "Some CPU", CPUs: 2, Memory: 8 << 30, Kernel: "6.18.0", Arch: "amd64", Go: "go1.26", Load: "0.10 0.20 0.30"},
		Commit:  "0123456789", Command: []string{"bench", "engine"},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 90 * time.Second,
		Notes: []string{"nginx is absent: <apt-get install nginx>"},
	}
	for round, p := range pass {
		for _, flows := range []string{"1000", "1000000"} {
			f.Add(result.Sample{
				Suite: "engine", Table: "known flows", Name: "nat ipv4 64B " + flows,
				Labels: map[string]string{"mode": "nat", "family": "ipv4", "sizes": "64B", "new": "0", "workers": "1", "flows": flows},
				Values: []result.Value{
					{Name: "pass", Unit: "ns/packet", V: p},
					{Name: "rate", Unit: "packets/s", More: true, V: 1e9 / p},
					{Name: "map lookup", Unit: "ns/packet", V: 3 * p},
					{Name: "objects", Unit: "1/packet", Detail: true, V: 0},
				},
			})
		}
		f.Add(result.Sample{Suite: "engine", Table: "pauses", Name: "a", Values: []result.Value{{Name: "p99.99", Unit: "ns", V: float64(round+1) * 1e5}}})
		f.Add(result.Sample{Suite: "engine", Table: "pauses", Name: "b", Values: []result.Value{{Name: "most", Unit: "ns", V: 2.5e9}}})
	}
	return f
}

func TestTable(t *testing.T) {
	var b strings.Builder
	Table(&b, sample(50, 40, 60))
	golden(t, "table.txt", b.String())
}

func TestCompare(t *testing.T) {
	a, b := sample(50, 40, 60), sample(30, 31, 35)
	b.Commit = "abcdef"
	b.Cases = b.Cases[1:] // the first is gone
	b.Add(result.Sample{Suite: "live", Name: "new", Values: []result.Value{{Name: "rate", V: 1}}})
	var out strings.Builder
	Compare(&out, a, b, true)
	golden(t, "compare.txt", out.String())
}

func TestChanges(t *testing.T) {
	file := func(more bool, values ...float64) *result.File {
		f := &result.File{}
		for _, v := range values {
			f.Add(result.Sample{Suite: "s", Name: "c", Values: []result.Value{{Name: "f", More: more, V: v}, {Name: "second", V: v}}})
		}
		return f
	}
	for name, c := range map[string]struct {
		a, b    *result.File
		want    Judgement
		percent float64
	}{
		"less is better":          {file(false, 10, 11), file(false, 5, 5.5), Better, -50},
		"less is worse":           {file(true, 10, 11), file(true, 5, 5.5), Worse, -50},
		"more is better":          {file(true, 10), file(true, 11), Better, 10},
		"more is worse":           {file(false, 10), file(false, 11), Worse, 10},
		"the spreads touch":       {file(false, 10, 20), file(false, 20, 40), Noise, 100},
		"one outlier":             {file(false, 10, 10, 100), file(false, 50, 50, 50), Noise, 400},
		"nothing was before":      {file(false, 0), file(false, 7), Worse, 0},
		"nothing at either time":  {file(false, 0), file(false, 0), Noise, 0},
		"it is the median's case": {file(false, 1, 2, 3), file(false, 4, 4, 90), Worse, 100},
	} {
		changes, missing := Changes(c.a, c.b, false)
		if len(changes) != 1 || len(missing) != 0 {
			t.Fatalf("%s: %d changes, %q missing; want the headline only", name, len(changes), missing)
		}
		if got := changes[0]; got.Judgement != c.want || got.Percent != c.percent {
			t.Errorf("%s: %v %% is %v, want %v %% %v", name, got.Percent, got.Judgement, c.percent, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0, "ns", "0 ns"}, {73.44, "ns", "73.4 ns"}, {999.6, "ns", "1.00 µs"}, {1234567, "ns", "1.23 ms"}, {2.5e9, "ns", "2.50 s"},
		{13_600_000, "packets/s", "13.6 M"}, {9_484_000, "packets/s", "9.48 M"}, {200_000, "flows/s", "200 k"}, {13.3, "1/s", "13.3"},
		{1000, "", "1 k"}, {10_000_000, "", "10 M"}, {0.1634, "", "0.16"}, {2.1e-5, "", "2.1e-05"},
		{46.02, "ns/packet", "46.0"}, {238.4, "B/flow", "238"}, {-3.14159, "x", "-3.14"},
	} {
		if got := number(c.v, c.unit); got != c.want {
			t.Errorf("%v %s is written %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestChart(t *testing.T) {
	c, ok := againstFlows(sample(50, 40, 60), "nat", "ipv4")
	if !ok {
		t.Fatal("no chart of known flows")
	}
	svg := c.svg()
	wellFormed(t, svg)
	golden(t, "chart.svg", svg)
	if _, ok := againstFlows(sample(50), "dsr", "ipv6"); ok {
		t.Error("a chart of what was not measured")
	}
}

// The largest value is inside of the plot, whatever it is.
func TestChartBounds(t *testing.T) {
	for _, y := range []float64{0, 0.001, 1, 4.99, 5, 99, 101, 1e6} {
		c := chart{title: `<"&`, lines: []series{{name: "<s>", points: []point{{1, y, y, y}, {1000, y / 2, y / 3, y}}}}}
		svg := c.svg()
		wellFormed(t, svg)
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `cy="-`) {
			t.Errorf("largest value %v: %s", y, svg)
		}
	}
}

func wellFormed(t *testing.T, s string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path, err := Write(dir, sample(50, 40, 60))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, want := range []string{"<svg ", "Katran TCP *", "not in this run", "nat ipv4 64B 1000", "50 (40–60)", "&lt;apt-get install nginx&gt;", "Some CPU", "100 µs–300 µs"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{"<script", "<link", "<img", "src=", "@import"} {
		if strings.Contains(page, no) {
			t.Errorf("the page has %q: it must need nothing else", no)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "engine-nat-ipv4.svg"))
	if err != nil || !strings.Contains(page, string(svg)) {
		t.Errorf("the plot beside the page is not the one in it: %v", err)
	}
}

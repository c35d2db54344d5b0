package control

import (
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/result"
)

// sampleOf is a sample with one label.
func sampleOf(key, value string) result.Sample {
	return result.Sample{Labels: map[string]string{key: value}}
}

// TestAims has each aim stand in a column, and in a table, that a daemon has too.
func TestAims(t *testing.T) {
	f := &result.File{}
	all := echoed{}
	for _, who := range []string{"afxlb", "against"} {
		empty := &found{calm: newTimes(), scraping: newTimes(), changing: newTimes()}
		for _, s := range samples(who, tiny, empty) {
			f.Add(s)
		}
		all.add(who, tiny, empty)
	}
	for _, s := range append(aims(tiny), all.samples([]Scene{tiny})...) {
		f.Add(s)
	}
	if len(f.Cases) != 3*10 {
		t.Errorf("%d cases, want 10 of each daemon and 10 aims", len(f.Cases))
	}
	for _, c := range f.Cases {
		if c.Labels["contender"] != Aim {
			continue
		}
		like := f.Case(Suite, strings.TrimSuffix(c.Name, Aim)+"against")
		if like == nil || like.Table != c.Table {
			t.Errorf("%s: no daemon has a case like it", c.Name)
			continue
		}
		for _, g := range c.Figures {
			if of := like.Figure(g.Name); of == nil || of.Unit != g.Unit || of.More != g.More {
				t.Errorf("%s: no daemon has a figure %q like it", c.Name, g.Name)
			}
		}
	}
}

// TestEchoed gathers rounds into one value.
func TestEchoed(t *testing.T) {
	all := echoed{}
	for round := range 3 {
		f := &found{calm: newTimes(), scraping: newTimes(), changing: newTimes()}
		for i := range 100 {
			_ = f.changing.worker.RecordValue(int64(time.Millisecond) * int64(round+1))
			_ = f.changing.kernel.RecordValue(int64(time.Microsecond) * int64(i+1))
		}
		f.changing.lost, f.changing.waited, f.changing.runs = round, time.Second, 100
		all.add("afxlb", tiny, f)
	}
	rows := all.samples(nil)
	if len(rows) != 3 || rows[2].Name != "echo changing 12x3 afxlb" {
		t.Fatalf("%+v", rows)
	}
	got := map[string]float64{}
	for _, v := range rows[2].Values {
		got[v.Name] = v.V
	}
	for name, want := range map[string]float64{"answers": 300, "lost": 3, "worst": 3e6, "mean wait for the CPU": 1e7, "the host's own p99.99": 1e5, "added worst": 2.9e6, "added p50": 2e6 - 5e4} {
		if d := got[name] - want; d < -want/500-1000 || d > want/500+1000 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestShares(t *testing.T) {
	f := &found{idle: 0.25, resident: 600e6, quiet: asks{status: []time.Duration{1, 3}, failed: 2}, calm: newTimes(), scraping: newTimes(), changing: newTimes()}
	f.deaths = map[kind]death{removed: {out: time.Second, mistaken: 4}}
	want := map[string]map[string]float64{
		"rest 12x3 afxlb":          {"idle": 25, "resident": 600},
		"asks idle 12x3 afxlb":     {"status": 2, "worst status": 3, "failed": 2, "backends": 0},
		"death removed 12x3 afxlb": {"out of the last service": 1e9, "healthy ones taken out": 4},
	}
	for _, s := range samples("afxlb", tiny, f) {
		for _, v := range s.Values {
			if w, ok := want[s.Name][v.Name]; ok && v.V != w {
				t.Errorf("%s: %s is %v, want %v", s.Name, v.Name, v.V, w)
			}
			delete(want[s.Name], v.Name)
		}
	}
	for name, left := range want {
		if len(left) > 0 {
			t.Errorf("%s: no figures %v", name, left)
		}
	}
}

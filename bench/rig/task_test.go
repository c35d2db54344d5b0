package rig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
)

// serve does a task as a child does, and returns the samples by case.
func serve(t *testing.T, task Task) *result.File {
	t.Helper()
	body, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Serve(body, child.NewOut(&b)); err != nil {
		t.Fatalf("%s: %v", task.String(), err)
	}
	f := &result.File{}
	for d := json.NewDecoder(&b); d.More(); {
		var m struct{ Sample *result.Sample }
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if m.Sample != nil {
			f.Add(*m.Sample)
		}
	}
	return f
}

// figures lists a case's figures, the headline first.
func figures(c *result.Case) (names []string) {
	for _, g := range c.Figures {
		names = append(names, g.Name)
	}
	return names
}

func TestTasks(t *testing.T) {
	c := Config{Mode: "nat", Family: traffic.IPv4, Flows: 2000, Workers: 1}
	two := c
	two.Workers = 2
	none := c
	none.Flows = 0
	for _, test := range []struct {
		task     Task
		cases    []string
		headline string
		has      []string
	}{
		{Task{Kind: Known, Config: c, Sizes: sizes, New: []float64{0}, Packets: 5000, Rounds: 3},
			[]string{"nat ipv4 64B 2k", "nat ipv4 IMIX 2k"}, "pass", []string{"map lookup", "pass/lookup", "batch p99.99", "allocated"}},
		{Task{Kind: Mixed, Config: c, Sizes: sizes[:1], New: []float64{0.1}, Packets: 5000, Rounds: 3},
			[]string{"nat ipv4 64B 2k 10 % new"}, "pass", []string{"slow path", "rate"}},
		{Task{Kind: Parallel, Config: two, Sizes: sizes[:1], Packets: 5000, Rounds: 3},
			[]string{"nat ipv4 64B 2k 2 workers"}, "over one", []string{"rate", "rate of one"}},
		{Task{Kind: Pauses, Config: c, Packets: 5000, Rounds: 3, Pause: 30 * time.Millisecond},
			[]string{"nat ipv4 2k, 200k new a second, 10 tables a second"}, "batch p99.99", []string{"batch p50", "batch max", "new flows"}},
	} {
		f := serve(t, test.task)
		var names []string
		for _, c := range f.Cases {
			names = append(names, c.Name)
			got := figures(c)
			if got[0] != test.headline {
				t.Errorf("%s: the headline is %q, want %q", c.Name, got[0], test.headline)
			}
			for _, want := range test.has {
				if !slices.Contains(got, want) {
					t.Errorf("%s: no figure %q among %q", c.Name, want, got)
				}
			}
			for _, g := range c.Figures {
				if len(g.Values) != 3 {
					t.Errorf("%s: %s has values %v of 3 rounds", c.Name, g.Name, g.Values)
				}
			}
		}
		if !slices.Equal(names, test.cases) {
			t.Errorf("%s: cases %q, want %q", test.task.String(), names, test.cases)
		}
	}
}

func TestFresh(t *testing.T) {
	f := serve(t, Task{Kind: Fresh, Config: Config{Mode: "nat", Family: traffic.IPv6, Workers: 1}, Packets: 10_000})
	c := f.Case(Suite, "nat ipv6 SYNs up to 10k")
	if c == nil || c.Figures[0].Name != "rate" || c.Figure("slow path").Values[0] != 1 {
		t.Errorf("filling an empty table: %+v", f.Cases)
	}
}

func TestMemory(t *testing.T) {
	const flows = 100_000
	f := serve(t, Task{Kind: Memory, Config: Config{Mode: "nat", Family: traffic.IPv4, Flows: flows, Workers: 1}})
	c := f.Case(Suite, "nat ipv4 100k")
	if c == nil {
		t.Fatalf("cases %+v", f.Cases)
	}
	// A record with its detail and two references in the caches at the least; half a KiB is
	// far from what it may be.
	if b := c.Figure("resident").Values[0]; b < 96+2*20 || b > 512 {
		t.Errorf("a flow takes %v bytes", b)
	}
	// The index alone: records and caches are not on the heap.
	if b := c.Figure("heap").Values[0]; b < 8 || b > 128 {
		t.Errorf("a flow takes %v bytes of the heap", b)
	}
	if n := c.Figure("flows").Values[0]; n < flows*98/100 || n > flows {
		t.Errorf("%v flows are remembered of %d", n, flows)
	}
	if b := c.Figure("to scan").Values[0]; b > 16 {
		t.Errorf("the collector looks through %v bytes a flow", b)
	}
}

func TestPlan(t *testing.T) {
	count := func(p Plan) map[Kind]int {
		m := map[Kind]int{}
		for _, task := range p.Tasks() {
			m[task.Kind]++
			if task.Rounds < 1 || task.Config.Flows == 0 && task.Kind != Fresh {
				t.Errorf("plan %+v has %+v", p, task)
			}
		}
		return m
	}
	// Everything: 3 modes, 2 families, 4 numbers of flows; and 3 tunnels with one number.
	if got, want := fmt.Sprint(count(Plan{Full: true})), "map[fresh:30 known:30 memory:6 mixed:24 parallel:24 pauses:6]"; got != want {
		t.Errorf("full plan: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(count(Plan{Rounds: 3})), "map[fresh:18 known:25 memory:2 mixed:3 parallel:3 pauses:1]"; got != want {
		t.Errorf("default plan: %s, want %s", got, want)
	}
	for _, task := range (Plan{Quick: true}).Tasks() {
		if task.Config.Flows > 20_000 || task.Packets > 50_000 || task.Rounds > 2 {
			t.Errorf("not quick: %+v", task)
		}
	}
}

func TestServeErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{"Kind":"unheard"}`: "unknown kind",
		`[]`:                 "read task",
		`{"Kind":"known","Config":{"Mode":"nat","Family":"ipv4","Workers":1}}`: "0 flows",
	} {
		if err := Serve(json.RawMessage(body), child.NewOut(&bytes.Buffer{})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", body, err, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1k", 1500: "1500", 100_000: "100k", 10_000_000: "10M", 1_500_000: "1500k"} {
		if got := Count(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

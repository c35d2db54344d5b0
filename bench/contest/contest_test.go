package contest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Handler{ends.ServerTask: ends.Serve, ends.ClientTask: ends.Ask})
	os.Exit(m.Run())
}

// suite runs a suite with one contender beside the straight wire.
func suite(t *testing.T, field []Contender, only string, run func(context.Context, Plan) error) *result.File {
	t.Helper()
	if !slices.ContainsFunc(field, func(c Contender) bool { return c.Name == only }) {
		t.Skipf("SKIPPED: %s is absent", only)
	}
	f := &result.File{}
	err := run(t.Context(), Plan{
		Field: field, Only: regexp.MustCompile("^" + only + "$"), Rounds: 2, Time: 100 * time.Millisecond,
		Progress: func(string, ...any) {}, Sample: func(s result.Sample) { f.Add(s) }, Note: func(s string) { f.Notes = append(f.Notes, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "CPU 0") {
		t.Errorf("notes %q, want one that says who was where", f.Notes)
	}
	return f
}

// rounds checks that a figure has so many values, and that all are as they must be.
func rounds(t *testing.T, c *result.Case, name string, n int, ok func(float64) bool) {
	t.Helper()
	g := c.Figure(name)
	if g == nil || len(g.Values) != n || slices.ContainsFunc(g.Values, func(v float64) bool { return !ok(v) }) {
		t.Errorf("%s: %s is %+v, want %d values", c.Name, name, g, n)
	}
}

func positive(v float64) bool { return v > 0 }
func zero(v float64) bool     { return v == 0 }
func whatever(float64) bool   { return true }

func TestSuites(t *testing.T) {
	testutil.RequireRoot(t)
	field, notes, err := Field(peertest.Afxlb(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) == 0 || !strings.Contains(notes[0], "afxlb") {
		t.Errorf("notes %q, want the daemon's version first", notes)
	}
	t.Log(notes)
	for _, who := range []struct {
		name      string
		protocols []string
	}{
		{"afxlb busy", []string{"udp", "tcp"}}, {"afxlb adaptive", []string{"udp", "tcp"}}, {"nft", []string{"udp", "tcp"}},
		{"haproxy", []string{"tcp"}}, {"nginx", []string{"udp", "tcp"}},
	} {
		if testutil.Race && who.name != "afxlb adaptive" {
			continue // the same code, ten times as long
		}
		t.Run("latency/"+who.name, func(t *testing.T) { latencyOf(t, suite(t, field, who.name, Latency), who.name, who.protocols) })
	}
	for _, who := range []string{"afxlb adaptive", "afxlb dsr", "nft", "haproxy", "nginx"} {
		if testutil.Race && who != "afxlb adaptive" {
			continue
		}
		t.Run("connections/"+who, func(t *testing.T) { connectionsOf(t, suite(t, field, who, Connections), who) })
	}
}

func latencyOf(t *testing.T, f *result.File, who string, protocols []string) {
	if want := 4 + 2*len(protocols); len(f.Cases) != want {
		t.Errorf("%d cases, want %d", len(f.Cases), want)
	}
	for _, c := range f.Cases {
		for _, p := range []string{"p50", "p75", "p90", "p95", "p99", "p99.5", "p99.9", "p99.95", "answers"} {
			rounds(t, c, p, 2, positive)
		}
		rounds(t, c, "p99.99", 1, positive)
		if p50, p99 := c.Figure("p50").Values, c.Figure("p99").Values; p50[0] > p99[0] || p50[1] > p99[1] {
			t.Errorf("%s: medians %v, p99 %v", c.Name, p50, p99)
		}
		if c.Labels["contender"] != Straight {
			rounds(t, c, "added p50", 2, whatever)
			rounds(t, c, "added p99", 2, whatever)
		} else if c.Figure("added p99") != nil {
			t.Errorf("%s: something was added to nothing", c.Name)
		}
		if c.Labels["load"] == "half" {
			rounds(t, c, "load", 2, positive)
			rounds(t, c, "carried at most", 2, positive)
		}
	}
	for _, protocol := range protocols {
		straight := f.Case(LatencySuite, protocol+" idle "+Straight)
		c := f.Case(LatencySuite, protocol+" idle "+who)
		if c == nil || straight == nil {
			t.Fatalf("no case of %s over %s", who, protocol)
		}
		for i, added := range c.Figure("added p50").Values {
			if want := c.Figure("p50").Values[i] - straight.Figure("p50").Values[i]; added != want {
				t.Errorf("%s: %v added in round %d, want %v", c.Name, added, i, want)
			}
		}
	}
}

func connectionsOf(t *testing.T, f *result.File, who string) {
	for _, kind := range []string{"connect", "load"} {
		straight, c := f.Case(ConnectionsSuite, kind+" "+Straight), f.Case(ConnectionsSuite, kind+" "+who)
		if straight == nil || c == nil {
			t.Fatalf("no case of %s: %+v", who, f.Cases)
		}
		rounds(t, straight, "rate", 2, positive)
		rounds(t, c, "rate", 2, positive)
		rounds(t, c, "CPU", 2, positive)
		rounds(t, c, "of receiving", 2, positive)
		if who == "nft" {
			rounds(t, c, "of its process", 2, zero)
		} else {
			rounds(t, c, "of its process", 2, positive)
		}
		if straight.Figure("CPU") != nil {
			t.Error("nobody has used CPU time")
		}
	}
}

// What goes wrong on the stage is told, and everything is taken down.
func TestStageErrors(t *testing.T) {
	testutil.RequireRoot(t)
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("it does not start")
	c := &Contender{Name: "broken", start: func(context.Context, *lab.Host, []peer.Service, []int) (peer.Running, error) { return nil, broken }}
	if _, err := newStage(t.Context(), c, p, interrupts); !errors.Is(err, broken) {
		t.Errorf("a contender that does not start: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newStage(ctx, &Contender{Name: Straight}, p, interrupts); !errors.Is(err, context.Canceled) {
		t.Errorf("when all is over: %v", err)
	}
	silent := func(string, ...any) {}
	err = Connections(t.Context(), Plan{Field: []Contender{{Name: Straight}, {Name: busy, start: c.start}}, Only: regexp.MustCompile("busy"), Rounds: 1, Time: time.Millisecond, Progress: silent})
	if err == nil || !strings.Contains(err.Error(), `"busy"`) {
		t.Errorf("with nobody who takes part: %v", err)
	}
	// One that lets nothing through.
	deaf := []Contender{{Name: "deaf", start: func(context.Context, *lab.Host, []peer.Service, []int) (peer.Running, error) { return nil, nil }}}
	err = Connections(t.Context(), Plan{Field: deaf, Rounds: 1, Time: 50 * time.Millisecond, Progress: func(string, ...any) {}, Sample: func(result.Sample) {}, Note: func(string) {}})
	if err == nil || !strings.Contains(err.Error(), "deaf, round 1: connect over tcp: no connection to") {
		t.Errorf("a contender that lets nothing through: %v", err)
	}
}

func TestFieldNeedsTheDaemon(t *testing.T) {
	if _, _, err := Field("/nonexistent/afxlb"); err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("%v, want an error that says how to build it", err)
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		cpus []int
		want string
	}{
		{[]int{0}, "00000001"}, {[]int{1, 3, 4}, "0000001a"}, {[]int{31}, "80000000"}, {[]int{0, 33}, "00000002,00000001"},
	} {
		if got := mask(c.cpus); got != c.want {
			t.Errorf("mask of %v is %s, want %s", c.cpus, got, c.want)
		}
	}
}

func TestPlace(t *testing.T) {
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]int{p.client, p.server, p.ends} {
		if slices.Contains(list, p.balancer[0]) {
			t.Errorf("%+v: the balancer's CPU is another's too", p)
		}
	}
	if text := p.String(); !strings.Contains(text, fmt.Sprintf("on CPU %d", p.balancer[0])) {
		t.Error(text)
	}
}

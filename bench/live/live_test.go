package live

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/forwarder"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Handler{forwarder.Name: forwarder.Serve})
	os.Exit(m.Run())
}

// Each contender does what it is measured for: at its own pace it loses little, all that
// comes back is for the generator, and it takes CPU time.
func TestContenders(t *testing.T) {
	testutil.RequireRoot(t)
	afxlb := peertest.Afxlb(t)
	for _, c := range []Case{
		{native, nat, traffic.IPv4, 2000, 1}, {native, nat, traffic.IPv6, 2000, 1}, {native, dsr, traffic.IPv4, 2000, 1},
		{watched, nat, traffic.IPv4, 2000, 1}, {asavie, nat, traffic.IPv4, 2000, 1}, {receive, nat, traffic.IPv4, 2000, 1},
		{forward, swap, traffic.IPv4, 2000, 1}, {testpmd, swap, traffic.IPv4, 2000, 1}, {nft, nat, traffic.IPv4, 2000, 1},
	} {
		t.Run(c.String(), func(t *testing.T) {
			s, err := newStand(t.Context(), c, afxlb)
			if errors.Is(err, peer.ErrAbsent) || errors.Is(err, errCrowded) {
				t.Skipf("SKIPPED: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			for range 2 { // the second time from a pause, with its flows known
				own, flooded, err := s.both(t.Context(), c, 200*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if flooded.done <= 0 || flooded.offered <= 0 || flooded.cpu <= 0 || flooded.foreign > 0 {
					t.Errorf("flooded: %+v", flooded)
				}
				if c.Contender != receive && (own.done <= 0 || own.lost() > 0.5 || own.cpu <= 0 || own.foreign > 0) {
					t.Errorf("at its own pace: %+v", own)
				}
			}
			if s.daemon != nil {
				flows(t, s, c)
			}
		})
	}
}

// flows asks the daemon: it knows each flow once, and none was ever forgotten.
func flows(t *testing.T, s *stand, c Case) {
	t.Helper()
	list, err := s.daemon.API.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.Group == "flows" && n.Name == "inserted" && n.Value != uint64(c.Flows) || n.Group == "flows" && n.Name == "expired" && n.Value != 0 {
			t.Errorf("%s: %d flows, of %d", n.Name, n.Value, c.Flows)
		}
	}
}

// What is missing is said, and the rest is measured; with nothing left it is an error.
func TestAbsent(t *testing.T) {
	testutil.RequireRoot(t)
	peertest.Find(t, peer.NFT)
	t.Setenv("PATH", t.TempDir()) // nft is in sbin, which is looked at all the same
	var notes []string
	var samples []result.Sample
	p := Plan{
		Rounds: 2, Time: 50 * time.Millisecond, Afxlb: "/nonexistent",
		Progress: func(string, ...any) {}, Note: func(s string) { notes = append(notes, s) },
		Sample: func(s result.Sample) { samples = append(samples, s) },
		Cases:  []Case{{testpmd, swap, traffic.IPv4, 1000, 1}, {nft, nat, traffic.IPv4, 1000, 1}, {native, nat, traffic.IPv4, 1000, 64}},
	}
	if err := Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "apt-get install dpdk-dev") || !strings.Contains(notes[1], "64 queues need 128") || len(samples) != 2 {
		t.Errorf("notes %q, %d samples", notes, len(samples))
	}
	p.Cases = p.Cases[:1]
	if err := Run(t.Context(), p); err == nil {
		t.Error("no error though there was nothing to measure")
	}
}

// Who is interrupted leaves nothing behind: no process, and no descriptor, by which
// namespaces are held.
func TestInterrupt(t *testing.T) {
	testutil.RequireRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := open(t)
	p := Plan{
		Rounds: 1, Time: time.Minute, Afxlb: peertest.Afxlb(t),
		Progress: func(format string, _ ...any) {
			if strings.HasPrefix(format, "round") {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
		},
		Cases: []Case{{native, nat, traffic.IPv4, 1000, 1}, {forward, swap, traffic.IPv4, 1000, 1}},
	}
	if err := Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want that it was cancelled", err)
	}
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(children) == 0 {
		t.Fatalf("look for children: %q, %v", children, err)
	}
	for _, list := range children {
		if b, _ := os.ReadFile(list); len(b) > 0 {
			t.Errorf("children are left: %s", b)
		}
	}
	// A connection whose daemon is gone is closed a moment later.
	for end := time.Now().Add(10 * time.Second); ; {
		left := ""
		for what, n := range open(t) {
			if n > before[what] {
				left += fmt.Sprintf("%d descriptors of %s are open, %d were; ", n, what, before[what])
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(left)
		}
	}
}

// open counts this process's descriptors by what they are of.
func open(t *testing.T) map[string]int {
	t.Helper()
	list, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, f := range list {
		if to, err := os.Readlink(f); err == nil {
			kinds[strings.Split(to, "[")[0]]++ // pipe:[123], net:[456]
		}
	}
	return kinds
}

func TestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		cpus   []int
		queues int
		want   place
		ok     bool
	}{
		"two":                   {[]int{0, 1}, 1, place{[]int{0}, []int{1}}, true},
		"others":                {[]int{3, 5}, 1, place{[]int{3}, []int{5}}, true},
		"one":                   {[]int{0}, 1, place{}, false},
		"two queues":            {[]int{0, 1, 2, 3}, 2, place{[]int{0, 1}, []int{2, 3}}, true},
		"two queues, odd first": {[]int{0, 1, 3, 4}, 2, place{[]int{0, 1}, []int{4, 3}}, true},
		"two queues, all odd":   {[]int{1, 3, 5, 7}, 2, place{}, false},
		"two queues, few":       {[]int{0, 1, 2}, 2, place{}, false},
	} {
		got, err := newPlace(c.cpus, c.queues)
		if (err == nil) != c.ok || c.ok && !reflect.DeepEqual(got, c.want) || !c.ok && !errors.Is(err, errCrowded) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Who is compared with whom, and how.
func TestSample(t *testing.T) {
	const v4 = traffic.IPv4
	outcomes := func(rate, cpu float64) both {
		return both{own: outcome{offered: rate, done: rate, cpu: cpu}, flooded: outcome{offered: 3e6, received: 2e6, done: 2 * rate, cpu: 2}}
	}
	found := map[Case]both{
		{native, nat, v4, 1000, 1}: outcomes(6e5, 1), {native, nat, v4, reference, 1}: outcomes(5e5, 1), {native, nat, traffic.IPv6, reference, 1}: outcomes(4e5, 1),
		{testpmd, swap, v4, reference, 1}: outcomes(5e5, 2), {forward, swap, v4, reference, 1}: outcomes(8e5, 1),
		{nft, nat, v4, 1000, 1}: outcomes(3e5, 1), {nft, nat, v4, reference, 1}: outcomes(2e5, 1),
		{receive, nat, v4, reference, 1}: outcomes(1e6, 0.5), {watched, nat, v4, reference, 1}: outcomes(4e5, 1),
	}
	for c, want := range map[Case]map[string]float64{
		{native, nat, v4, 1000, 1}:                {"per CPU second": 6e5, "of testpmd": 2.4, "of nft": 2, "of forwarder": 0.75, "flooded, of nft": 2},
		{native, nat, v4, reference, 1}:           {"of nft": 2.5, "flooded: lost": 2. / 3, "flooded: received": 2e6, "lost": 0},
		{native, nat, traffic.IPv6, reference, 1}: {"of testpmd": 1.6, "of nft": -1},
		{nft, nat, v4, 1000, 1}:                   {"of testpmd": -1, "forwarded": 3e5},
		{watched, nat, v4, reference, 1}:          {"of afxlb": 0.8, "of nft": -1},
		{receive, nat, v4, reference, 1}:          {"looked up": 2e6, "offered": 3e6, "per CPU second": -1},
	} {
		s := sample(c, found)
		values := map[string]float64{}
		for _, v := range s.Values {
			values[v.Name] = v.V
		}
		for name, v := range want {
			got, ok := values[name]
			if ok != (v >= 0) || ok && (got < v*0.999 || got > v*1.001) {
				t.Errorf("%s: %s is %v (%v), want %v", c, name, got, ok, v)
			}
		}
		if s.Labels["contender"] != c.Contender || s.Values[0].Detail {
			t.Errorf("%s: %+v", c, s)
		}
	}
}

func TestCases(t *testing.T) {
	for _, quick := range []bool{false, true} {
		names := map[string]bool{}
		for _, c := range Cases(quick) {
			if names[c.String()] {
				t.Errorf("two cases are called %s", c)
			}
			names[c.String()] = true
			if c.Flows > maxFlows {
				t.Errorf("%s: more flows than the daemon has room for", c)
			}
		}
	}
}

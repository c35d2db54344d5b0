package bpf

import (
	"encoding/hex"
	"testing"

	"github.com/afxlb/afxlb/internal/testutil"
)

// XDP actions (enum xdp_action in include/uapi/linux/bpf.h).
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

// load returns a program that steers by s, to be closed at the test's end.
func load(t testing.TB, c Config, s Steering) *Program {
	t.Helper()
	testutil.RequireRoot(t)
	p, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Apply(plan(t, s)); err != nil {
		t.Fatal(err)
	}
	return p
}

// plan returns the plan for s, which is within the limits.
func plan(t testing.TB, s Steering) *Plan {
	t.Helper()
	p, err := NewPlan(s, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// loadWithSocket puts the test into a namespace of its own, and gives the program a
// socket on queue 0: the queue of a test run. A test run does not ask which interface
// the socket is bound to, but Linux 7.3 takes none that is not bound.
func loadWithSocket(t testing.TB, s Steering) *Program {
	t.Helper()
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, s)
	if err := p.SetSocket(0, bindSocket(t, v0, 0).fd); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs the program on the frame (at least 14 bytes) once, and returns its
// action and the reason that it counted. Any other than one count is an error.
func run(t testing.TB, p *Program, frame []byte) (action uint32, why Reason) {
	t.Helper()
	before := counters(t, p)
	action, _, err := p.objects.Steer.Test(frame)
	if err != nil {
		t.Fatalf("run on %d bytes: %v\n%s", len(frame), err, hex.Dump(frame))
	}
	after := counters(t, p)
	total := uint64(0)
	for r := range NumReasons {
		if n := after[r] - before[r]; n != 0 {
			why, total = r, total+n
		}
	}
	if total != 1 {
		t.Fatalf("one packet was counted %d times: %v, then %v\n%s", total, before, after, hex.Dump(frame))
	}
	return action, why
}

func counters(t testing.TB, p *Program) Counters {
	t.Helper()
	c, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// judge is run for a program with a socket: it also checks that the action is
// what the reason says.
func judge(t testing.TB, p *Program, frame []byte) Reason {
	t.Helper()
	action, why := run(t, p, frame)
	want := uint32(xdpRedirect)
	if why == Passed {
		want = xdpPass
	}
	if action != want {
		t.Fatalf("%s, but action %d, want %d\n%s", why, action, want, hex.Dump(frame))
	}
	return why
}

package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/neighbour"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// testSpec has a nat and a dsr service; nothing of it is probed unless the
// controller's prober gets its targets.
func testSpec() balancer.Spec {
	checked := balancer.HealthSpec{Type: balancer.HealthTCP, Interval: time.Hour, Timeout: time.Second, Rise: 2, Fall: 3}
	addr := netip.MustParseAddr
	return balancer.Spec{Services: []balancer.ServiceSpec{
		{
			Name: "web", Address: addr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP, Health: checked,
			Backends: []balancer.BackendSpec{
				{Name: "a", Address: addr("10.0.0.11"), Port: 8080, Weight: 1},
				{Name: "b", Address: addr("10.0.0.12"), Weight: 3},
			},
		},
		{
			Name: "direct", Address: addr("192.0.2.20"), First: 53, Last: 53, Protocol: balancer.UDP, Mode: balancer.DSR,
			Health:   balancer.HealthSpec{Type: balancer.HealthNone},
			Backends: []balancer.BackendSpec{{Name: "a", Address: addr("10.0.0.11"), Weight: 0}},
		},
	}}
}

// newController returns a controller that never touches an interface: the one it is
// to serve does not exist. Its prober has no targets.
func newController(t *testing.T, spec balancer.Spec) *Controller {
	t.Helper()
	c, err := New(Options{
		Engine: engine.Config{Interface: "nosuch0", Queues: []int{0}, MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Driver: xsk.DriverNative},
		Spec:   spec, Version: "test", Log: zap.NewNop(),
		// No probe leaves the test: its backends' addresses are nobody's.
		Health: []health.Option{health.WithDial(func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no network in this test")
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.rest)
	return c
}

func (c *Controller) answer(service, backend string, err error) {
	c.observe(health.Result{Ref: balancer.BackendRef{Service: service, Backend: backend}, OK: err == nil, Err: err})
}

func state(t *testing.T, c *Controller, service, backend string) api.Backend {
	t.Helper()
	for _, b := range c.Backends(service) {
		if b.Name == backend {
			return b
		}
	}
	t.Fatalf("no backend %s of %s", backend, service)
	return api.Backend{}
}

func TestSteer(t *testing.T) {
	spec := testSpec()
	spec.Services = append(spec.Services, spec.Services[0]) // a second service on the same backends
	spec.Services[2].Name, spec.Services[2].Address = "range", netip.MustParseAddr("192.0.2.11")
	spec.Services[2].First, spec.Services[2].Last = 8000, 8099
	local := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	addr := netip.MustParseAddr
	want := bpf.Steering{
		Services: []bpf.Service{
			{Address: addr("192.0.2.10"), Protocol: 6, First: 80, Last: 80},
			{Address: addr("192.0.2.20"), Protocol: 17, First: 53, Last: 53},
			{Address: addr("192.0.2.11"), Protocol: 6, First: 8000, Last: 8099},
		},
		// No dsr backends; b of web answers from the service's port, b of range from any.
		Replies: []bpf.Endpoint{
			{Address: addr("10.0.0.11"), Protocol: 6, Port: 8080},
			{Address: addr("10.0.0.12"), Protocol: 6, Port: 80},
			{Address: addr("10.0.0.12"), Protocol: 6, Port: 0},
		},
		Local: local,
	}
	if got := steer(&spec, local); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRiseAndFall(t *testing.T) {
	c := newController(t, testSpec())
	refused := errors.New("connection refused")
	step := func(when string, err error, want string) {
		t.Helper()
		c.answer("web", "a", err)
		if e := c.rebuild(); e != nil {
			t.Fatal(e)
		}
		b := state(t, c, "web", "a")
		if b.State != want {
			t.Errorf("%s: %s, want %s", when, b.State, want)
		}
		if wantCheck := map[bool]string{true: "ok", false: refused.Error()}[err == nil]; b.Check != wantCheck {
			t.Errorf("%s: check %q, want %q", when, b.Check, wantCheck)
		}
	}
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	if b := state(t, c, "web", "a"); b.State != "warming" || b.Check != "no answer yet" {
		t.Errorf("before any answer: %s, %q", b.State, b.Check)
	}
	step("first good answer", nil, "up")
	step("one bad", refused, "up")
	step("two bad", refused, "up")
	step("three bad", refused, "down")
	step("one good", nil, "down")
	step("two good", nil, "up")
	if s := state(t, c, "direct", "a"); s.State != "drain" {
		t.Errorf("weight 0 without checks: %s, want drain", s.State)
	}
}

func TestWarmUpEndsByDoubt(t *testing.T) {
	c := newController(t, testSpec())
	web := &c.spec.Services[0]
	start := c.checks[balancer.BackendRef{Service: "web", Backend: "a"}].start
	states, wait := c.states(web, start.Add(balancer.WarmUp/2))
	if states[0] != balancer.StateUnknown || wait <= 0 || wait > balancer.WarmUp/2+time.Second {
		t.Errorf("in the warm-up: %v, look again in %v", states, wait)
	}
	states, wait = c.states(web, start.Add(balancer.WarmUp+time.Second))
	if states[0] != balancer.StateUp || states[1] != balancer.StateUp || wait != 0 {
		t.Errorf("after the warm-up: %v, look again in %v; want both trusted", states, wait)
	}
	c.answer("web", "b", nil)
	states, _ = c.states(web, start.Add(balancer.WarmUp+time.Second))
	if states[0] != balancer.StateUnknown || states[1] != balancer.StateUp {
		t.Errorf("with b known to be up: %v, want no doubt about a any more", states)
	}
}

func TestReloadKeepsWhatIsKnown(t *testing.T) {
	c := newController(t, testSpec())
	c.answer("web", "a", nil)
	c.answer("web", "b", nil)
	spec := testSpec()
	spec.Services[0].Backends[1].Address = netip.MustParseAddr("10.0.0.13") // another server by the same name
	spec.Services[0].Algorithm = balancer.Maglev
	if err := c.Reload(spec); err != nil {
		t.Fatal(err)
	}
	if a, b := state(t, c, "web", "a"), state(t, c, "web", "b"); a.State != "up" || b.State == "up" || b.Address != "10.0.0.13" {
		t.Errorf("after the reload: a %s, b %s at %s", a.State, b.State, b.Address)
	}
	if s := c.Services(); s[0].Algorithm != "maglev" || c.Status().Reload != "ok" {
		t.Errorf("services %+v, last reload %q", s, c.Status().Reload)
	}

	generation := c.Status().Generation
	wrong := testSpec()
	wrong.Services[0].Mode = balancer.GUE
	if err := c.Reload(wrong); err == nil {
		t.Fatal("a wrong spec was taken")
	}
	st := c.Status()
	if st.Generation != generation || st.Reload == "ok" || c.Services()[0].Mode != "nat" {
		t.Errorf("after a refused reload: generation %d, was %d; %q", st.Generation, generation, st.Reload)
	}
	if a := state(t, c, "web", "a"); a.State != "up" {
		t.Errorf("the refused reload made a %s", a.State)
	}
}

func TestRebuildOnlyWhenSomethingChanged(t *testing.T) {
	c := newController(t, testSpec())
	for range 3 {
		if err := c.rebuild(); err != nil {
			t.Fatal(err)
		}
	}
	if g := c.Status().Generation; g != 1 {
		t.Errorf("generation %d after three looks at the same facts", g)
	}
	c.hops = neighbour.Snapshot{
		MAC:  [6]byte{2, 0, 0, 0, 0, 1},
		Hops: map[netip.Addr]neighbour.Hop{netip.MustParseAddr("10.0.0.12"): {Known: true, OnLink: true, MAC: [6]byte{2, 0, 0, 0, 0, 9}}},
	}
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	if b := state(t, c, "web", "b"); b.MAC != "02:00:00:00:00:09" || c.Status().Generation != 2 {
		t.Errorf("generation %d, MAC %q after it was learned", c.Status().Generation, b.MAC)
	}
}

// A dsr backend behind a router can't be reached by its router's MAC.
func TestDSRNeedsTheLink(t *testing.T) {
	c := newController(t, testSpec())
	a := netip.MustParseAddr("10.0.0.11")
	for _, onLink := range []bool{false, true} {
		c.hops = neighbour.Snapshot{Hops: map[netip.Addr]neighbour.Hop{a: {Known: true, OnLink: onLink, MAC: [6]byte{2}}}}
		f, _ := c.gather()
		if _, ok := f.NextHop[a]; ok != onLink {
			t.Errorf("on link %v: next hop known %v", onLink, ok)
		}
		if _, ok := f.NextHop[netip.MustParseAddr("10.0.0.12")]; ok {
			t.Error("a next hop that nobody told")
		}
	}
}

func TestRunWithoutTheInterface(t *testing.T) {
	c := newController(t, testSpec())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Run(ctx); !errors.Is(err, xsk.ErrNoInterface) {
		t.Errorf("Run: %v, want ErrNoInterface", err)
	}
	goleak.VerifyNone(t, goleak.IgnoreCurrent())
}

func TestCountersNameEveryVerdictOnce(t *testing.T) {
	c := newController(t, testSpec())
	seen := map[string]int{}
	for _, k := range c.Counters() {
		seen[k.Group+"/"+k.Name]++
		if k.Help == "" {
			t.Errorf("%s/%s has no meaning", k.Group, k.Name)
		}
	}
	for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
		if seen["packets/"+v.String()] != 1 {
			t.Errorf("verdict %v is listed %d times", v, seen["packets/"+v.String()])
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
}

func TestStatusWithoutTheInterface(t *testing.T) {
	c := newController(t, testSpec())
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	c.enter(StateWaiting, xsk.ErrGone)
	s := c.Status()
	if s.State != StateWaiting || s.Reason == "" || s.Services.Total != 2 || s.Backends.Total != 3 || s.Backends.Up != 1 || len(s.Workers) != 1 {
		t.Errorf("%+v", s)
	}
	if f := c.Flows(api.FlowFilter{}); f == nil || len(f) != 0 {
		t.Errorf("flows %v, want an empty list", f)
	}
}

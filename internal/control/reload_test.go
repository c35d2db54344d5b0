package control

import (
	"errors"
	"maps"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/xsk"
)

// A refused reload must not even make a backend unknown: it would be out of
// rotation until its next probe.
func TestRefusedReloadKeepsHealth(t *testing.T) {
	c := newController(t, testSpec())
	c.answer("web", "a", nil)
	c.answer("web", "b", nil)
	if err := c.rebuild(); err != nil {
		t.Fatal(err)
	}
	before := c.Status().Generation
	wrong := testSpec()
	wrong.Services[0].Backends[1].Address = netip.MustParseAddr("10.0.0.13")
	wrong.Services[0].Health.Rise = 7
	wrong.Services[1].Mode = balancer.GUE // not supported yet
	if err := c.Reload(wrong); err == nil {
		t.Fatal("a wrong spec was taken")
	}
	if err := c.rebuild(); err != nil { // whatever pokes next
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if b := state(t, c, "web", name); b.State != "up" || b.Check != "ok" {
			t.Errorf("%s is %s, %q", name, b.State, b.Check)
		}
	}
	if g := c.Status().Generation; g != before {
		t.Errorf("generation %d, was %d", g, before)
	}
}

func TestReloadOfTheSame(t *testing.T) {
	c := newController(t, testSpec())
	for range 3 {
		if err := c.Reload(testSpec()); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Status(); s.Generation != 1 || s.Reload != "ok" {
		t.Errorf("generation %d, %q", s.Generation, s.Reload)
	}
}

func TestReloadAddsAndRemoves(t *testing.T) {
	c := newController(t, testSpec())
	if err := c.Reload(testSpec()); err != nil {
		t.Fatal(err)
	}
	c.answer("web", "a", nil)
	c.answer("web", "b", nil)
	spec := testSpec()
	spec.Services[0].Backends = append(spec.Services[0].Backends[1:], balancer.BackendSpec{Name: "c", Address: netip.MustParseAddr("10.0.0.13"), Weight: 1})
	spec.Services = append(spec.Services[:1], balancer.ServiceSpec{
		Name: "new", Address: netip.MustParseAddr("192.0.2.30"), First: 443, Last: 443, Protocol: balancer.TCP,
		Health: balancer.HealthSpec{Type: balancer.HealthNone}, Backends: []balancer.BackendSpec{{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 1}},
	})
	if err := c.Reload(spec); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, b := range c.Backends("") {
		got[b.Service+"/"+b.Name] = b.State
	}
	want := map[string]string{"web/b": "up", "web/c": "warming", "new/a": "up"}
	if !maps.Equal(got, want) {
		t.Errorf("backends %v, want %v", got, want)
	}
	if s := c.Status(); s.Services.Up != 2 || s.Services.Total != 2 || s.Backends.Up != 2 || s.Backends.Total != 3 {
		t.Errorf("status %+v %+v", s.Services, s.Backends)
	}
	if len(c.checks) != 3 {
		t.Errorf("%d checks are kept for 3 backends", len(c.checks))
	}
}

// Nothing that Run started is left when it ends.
func TestRunLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := newController(t, testSpec())
	if err := c.rebuild(); err != nil { // all are unknown: it wants to be woken
		t.Fatal(err)
	}
	if c.alarm == nil {
		t.Fatal("nothing would end the warm-up")
	}
	if err := c.Run(t.Context()); !errors.Is(err, xsk.ErrNoInterface) {
		t.Fatalf("Run: %v, want ErrNoInterface", err)
	}
	if c.alarm != nil {
		t.Error("the alarm still runs")
	}
	goleak.VerifyNone(t, before)
}

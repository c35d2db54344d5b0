package engine

import (
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/xsk"
)

// An interface that was not named at the start is served beside the first, let go of, and
// its number given to another one; flows go on by it.
func TestAnInterfaceMore(t *testing.T) {
	a := newArms(t, 1, 1, Config{Interfaces: []string{lab.Interface}, Grows: true, Driver: xsk.DriverNative})
	for what, err := range map[string]error{
		"one that is served": a.engine.Name(0, lab.Inner), "a number that there is not": a.engine.Name(2, lab.Inner),
	} {
		if err == nil {
			t.Errorf("%s was named", what)
		}
	}
	for range 2 {
		a.do(func() error {
			must(t, a.engine.Name(1, lab.Inner))
			return a.engine.Take(1, a.index(lab.Inner))
		})
		must(t, a.talk(64))
		a.do(func() error { return a.engine.Drop(1) })
		must(t, a.engine.Name(1, ""))
		if in := a.engine.Info(); len(in.Ports) != 2 || in.Ports[1].Name != "" || in.Ports[1].Index != 0 {
			t.Errorf("%+v", in.Ports)
		}
	}
	for i := 2; i < maxPorts; i++ {
		must(t, a.engine.Name(i, "more"))
	}
	if err := a.engine.Name(maxPorts, "more"); err == nil {
		t.Error("one too many was named")
	}
}

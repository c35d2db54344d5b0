package xsk_test

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

func newAlarm(t *testing.T) *xsk.Alarm {
	t.Helper()
	a, err := xsk.NewAlarm()
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	return a
}

// An alarm ends a wait, whichever came first, for as long as somebody has it raised: whether
// there are sockets or none, and whether the kernel is behind them.
func TestAlarm(t *testing.T) {
	inNetns(t)
	v, fake := newArm(t, "v", xsk.Config{RingSize: 32}), xsktest.New(64, 2048, 8)
	for name, sockets := range map[string][]*xsk.Socket{"none": nil, "fake": {fake.Socket()}, "real": {v.socket}} {
		a := newAlarm(t)
		p := xsk.NewPoller(sockets, a)
		go a.Raise()
		must(t, p.Wait(time.Hour))
		a.Raise() // somebody else
		a.Lower()
		must(t, p.Wait(time.Hour))
		a.Lower()
		if ready, err := p.Poll(time.Millisecond); ready || err != nil {
			t.Errorf("%s: ready %v although everybody has lowered it, %v", name, ready, err)
		}
	}
}

// Where there is no alarm, nobody has to know.
func TestNoAlarm(t *testing.T) {
	var a *xsk.Alarm
	a.Raise()
	a.Lower()
	must(t, a.Close())
}

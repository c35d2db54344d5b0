package engine

import (
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

// onWire runs f where there is an interface of so many queues for an engine to serve.
func onWire(t *testing.T, queues int, f func(ifindex int)) {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Balancer.Do(func() error {
		device, err := net.InterfaceByName(lab.Interface)
		if err == nil {
			f(device.Index)
		}
		return err
	})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Error(err)
	}
}

// newReal returns an engine for the interface of onWire.
func newReal(queues int, driver xsk.Driver) (*Engine, error) {
	c := Config{Interfaces: []string{lab.Interface}, Driver: driver, Mode: xsk.ModeAuto, MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: balancer.NewLoads()}
	for q := range queues {
		c.Queues = append(c.Queues, q)
	}
	return New(c)
}

func mustNewReal(t *testing.T, queues int) *Engine {
	t.Helper()
	e, err := newReal(queues, xsk.DriverNative)
	must(t, err)
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// planOf steers one port.
func planOf(t *testing.T, port uint16) *bpf.Plan {
	t.Helper()
	p, err := bpf.NewPlan(bpf.Steering{Services: []bpf.Service{{Address: lab.BalancerAddr(), Protocol: bpf.TCP, First: port, Last: port}}}, bpf.DefaultLimits())
	must(t, err)
	return p
}

// An engine has all of the interface or nothing, and can have it again.
func TestAcquire(t *testing.T) {
	onWire(t, 2, func(ifindex int) {
		first, second := mustNewReal(t, 2), mustNewReal(t, 2)
		for round := range 2 {
			must(t, first.Acquire(ifindex))
			must(t, first.Apply(&balancer.Table{Generation: 1}, planOf(t, 80)))
			in := first.Info()
			if in.Ports[0].Attached == "" || len(in.Workers) != 2 || !slices.Equal(in.Ports[0].Queues(), []int{0, 1}) {
				t.Errorf("round %d: attached %q, workers %+v", round, in.Ports[0].Attached, in.Workers)
			}
			if err := second.Acquire(ifindex); !errors.Is(err, bpf.ErrBusy) {
				t.Errorf("round %d: a second engine: %v", round, err)
			}
			if in := second.Info(); in.Ports[0].Attached != "" || in.Ports[0].Sockets != nil {
				t.Errorf("round %d: it has %q and %+v", round, in.Ports[0].Attached, in.Ports[0].Sockets)
			}
			for range 2 {
				must(t, second.Release())
			}
			must(t, first.Release())
			if in := first.Info(); in.Ports[0].Attached != "" || in.Ports[0].Sockets != nil {
				t.Errorf("round %d: after the release %q and %+v", round, in.Ports[0].Attached, in.Ports[0].Sockets)
			}
		}
		must(t, second.Acquire(ifindex))
		must(t, second.Release())
	})
}

// While sockets are opened anew the interface is nobody else's, and the program goes on with
// its counters.
func TestAnew(t *testing.T) {
	onWire(t, 2, func(ifindex int) {
		first, second := mustNewReal(t, 2), mustNewReal(t, 2)
		busy := func(when string, want bool) {
			t.Helper()
			if err := second.Acquire(ifindex); errors.Is(err, bpf.ErrBusy) != want {
				t.Errorf("%s: a second engine: %v", when, err)
			}
			must(t, second.Release())
		}
		must(t, first.Anew(0)) // there is nothing
		must(t, first.Acquire(ifindex))
		program := first.lease.programs[0]
		for range 2 {
			before := first.Info().Ports[0].Sockets
			must(t, first.Anew(0))
			in := first.Info()
			if first.lease.programs[0] != program || in.Ports[0].Attached == "" || !slices.Equal(in.Ports[0].Queues(), []int{0, 1}) || len(before) != 2 {
				t.Errorf("anew, it has %q and %+v", in.Ports[0].Attached, in.Ports[0].Sockets)
			}
			if n := in.Workers[0].Frames.Total(); n != in.Ports[0].Sockets[0].Frames {
				t.Errorf("%d frames are accounted for of %d", n, in.Ports[0].Sockets[0].Frames)
			}
			busy("anew", true)
		}
		must(t, first.Release())
		busy("released", false)

		// What can't be opened anew is given up.
		must(t, first.Acquire(ifindex))
		first.config.Queues = []int{0, 7}
		if err := first.Anew(0); !errors.Is(err, xsk.ErrNoQueue) {
			t.Errorf("%v, want that there is no queue 7", err)
		}
		if in := first.Info(); in.Ports[0].Index != 0 || in.Ports[0].Attached != "" {
			t.Errorf("%+v", in.Ports[0])
		}
		busy("given up", false)
		must(t, first.Release())
	})
}

// What was applied before an Acquire is in force after it.
func TestAcquireAppliesThePlan(t *testing.T) {
	onWire(t, 1, func(ifindex int) {
		e := mustNewReal(t, 1)
		must(t, e.Apply(&balancer.Table{Generation: 1}, overfull(t))) // nobody asks the kernel yet
		if err := e.Acquire(ifindex); err == nil {
			t.Error("there was room for all of it: no plan was applied")
			must(t, e.Release())
		}
	})
}

// overfull returns a plan that the program's maps have no room for.
func overfull(t *testing.T) *bpf.Plan {
	t.Helper()
	var s bpf.Steering
	for port := range 2*bpf.DefaultLimits().Ports + 1 {
		one := uint16(port & 0x7fff)
		s.Replies = append(s.Replies, bpf.Endpoint{Address: lab.BackendAddr(port >> 15), Protocol: bpf.TCP, First: one, Last: one})
	}
	p, err := bpf.NewPlan(s, bpf.Limits{Addresses: len(s.Replies), Ports: len(s.Replies)})
	must(t, err)
	return p
}

// The error of a kernel that fails says what is in force now.
func TestApplySaysWhatIsInForce(t *testing.T) {
	onWire(t, 1, func(ifindex int) {
		e := mustNewReal(t, 1)
		must(t, e.Acquire(ifindex))
		must(t, e.Apply(&balancer.Table{Generation: 6}, planOf(t, 80)))
		err := e.Apply(&balancer.Table{Generation: 7}, overfull(t))
		if err == nil || !strings.HasPrefix(err.Error(), "generation 7 is in force, but of its steering only a part: ") {
			t.Errorf("a plan that the kernel has no room for: %v", err)
		}
		if got := e.Info().Table.Generation; got != 7 {
			t.Errorf("generation %d is in force, the error says 7", got)
		}
		must(t, e.Apply(&balancer.Table{Generation: 8}, planOf(t, 81))) // sets all right
		must(t, e.Release())
	})
}

// Who asks for the figures does not wait for a change that takes long: here for ever.
func TestInfoWaitsForNoChange(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	h.engine.changing.Lock()
	defer h.engine.changing.Unlock()
	if in := h.engine.Info(); in.Table.Generation != h.engine.Oldest() || len(in.Workers) != 1 {
		t.Errorf("generation %d, %d workers", in.Table.Generation, len(in.Workers))
	}
}

// Figures may be asked for while the interface is taken and given back.
func TestInfoDuringChanges(t *testing.T) {
	onWire(t, 1, func(ifindex int) {
		e := mustNewReal(t, 1)
		var reader sync.WaitGroup
		done := make(chan struct{})
		reader.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if in := e.Info(); (in.Ports[0].Attached == "") != (in.Ports[0].Sockets == nil) {
						t.Errorf("attached %q, but the socket is %+v", in.Ports[0].Attached, in.Ports[0].Sockets)
					}
				}
			}
		})
		for i := range uint16(3) {
			must(t, e.Acquire(ifindex))
			must(t, e.Apply(&balancer.Table{Generation: uint64(i)}, planOf(t, 80+i)))
			must(t, e.Release())
		}
		close(done)
		reader.Wait()
	})
}

// What the interface has got since Acquire is served when it is asked for, without a
// change for what is served already; a list stays a list.
func TestExtend(t *testing.T) {
	testutil.RequireRoot(t)
	for name, c := range map[string]struct {
		list []int
		want []int // queues after the extension from 2 to 4
	}{"all": {nil, []int{0, 1, 2, 3}}, "a list": {[]int{1, 0}, []int{1, 0}}} {
		l, err := lab.New(lab.Options{Queues: 4})
		if err != nil {
			t.Fatal(err)
		}
		must(t, l.SetQueues(2, 2))
		config := Config{Interfaces: []string{lab.Interface}, Queues: c.list, Mode: xsk.ModeAuto, MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: balancer.NewLoads()}
		e, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Balancer.Do(func() error {
			device, err := net.InterfaceByName(lab.Interface)
			if err != nil {
				return err
			}
			must(t, e.Extend(0)) // nothing is served yet
			if err := e.Acquire(device.Index); err != nil {
				return err
			}
			before := e.Info()
			sockets, program := slices.Clone(e.lease.ports[0].sockets), *e.lease.programs[0]
			for range 2 { // the second has nothing to do
				must(t, l.SetQueues(4, 4))
				if err := e.Extend(0); err != nil {
					return err
				}
			}
			if !slices.Equal(sockets, e.lease.ports[0].sockets[:2]) || reflect.DeepEqual(program, *e.lease.programs[0]) {
				t.Errorf("%s: sockets %v became %v; program %+v is %+v", name, sockets, e.lease.ports[0].sockets, program, *e.lease.programs[0])
			}
			var queues []int
			in := e.Info()
			for i, w := range in.Workers {
				queues = append(queues, w.Queue)
				if frames := in.Ports[0].Sockets[i].Frames; w.Frames.Total() != frames || frames == 0 {
					t.Errorf("%s: queue %d: frames %+v of %d", name, w.Queue, w.Frames, frames)
				}
			}
			if len(before.Workers) != 2 || !slices.Equal(queues, c.want) {
				t.Errorf("%s: %d queues were served, %v are", name, len(before.Workers), queues)
			}
			return e.Release()
		})
		if err := errors.Join(err, l.Close()); err != nil {
			t.Error(err)
		}
	}
}

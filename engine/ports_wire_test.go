package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

// twoArms is an engine at work in a lab whose balancer has clients on one interface and
// backends on the other, with a nat service of an echo server's.
type twoArms struct {
	t      *testing.T
	lab    *lab.Lab
	engine *Engine
	vip    netip.AddrPort
}

func newTwoArms(t *testing.T, outer, inner int, driver xsk.Driver) *twoArms {
	t.Helper()
	return newArms(t, outer, inner, Config{Interfaces: []string{lab.Interface, lab.Inner}, Driver: driver})
}

// newArms serves what the config names of the two.
func newArms(t *testing.T, outer, inner int, c Config) *twoArms {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Queues: outer, Inner: inner})
	if err != nil {
		t.Fatal(err)
	}
	a := &twoArms{t: t, lab: l, vip: netip.MustParseAddrPort(vip4)}
	t.Cleanup(func() { must(t, l.Close()) })
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	if err := l.Backends[0].ServeTCP(":8080", echo); err != nil {
		t.Fatal(err)
	}
	c.Mode, c.MaxFlows, c.Timeouts, c.Loads = xsk.ModeAuto, 1000, conntrack.DefaultTimeouts(), balancer.NewLoads()
	a.engine, err = New(c)
	if err != nil {
		t.Fatal(err)
	}
	a.do(func() error {
		before := len(descriptors())
		indexes := make([]int, len(c.Interfaces))
		for i, name := range c.Interfaces {
			indexes[i] = a.index(name)
		}
		err := a.engine.Acquire(indexes...)
		if n, most := len(descriptors())-before, Descriptors(2, max(outer, inner)); n > most {
			t.Errorf("%d descriptors are kept, %d were told of", n, most)
		}
		return err
	})
	for _, w := range a.engine.all() {
		w.cpu = -1
	}
	a.apply()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.engine.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
		for i, w := range a.engine.all() {
			if w.count.Verdicts[packet.Pending] != 0 {
				t.Errorf("worker %d: %v", i, w.count.Verdicts)
			}
		}
		must(t, a.engine.Release())
	})
	return a
}

func (a *twoArms) do(f func() error) {
	a.t.Helper()
	if err := a.lab.Balancer.Do(f); err != nil {
		a.t.Fatal(err)
	}
}

// index returns an interface's, in whose namespace the caller is; 0: there is none.
func (a *twoArms) index(name string) int {
	if device, err := net.InterfaceByName(name); err == nil {
		return device.Index
	}
	return 0
}

func (a *twoArms) mac(h *lab.Host, name string) packet.MAC {
	a.t.Helper()
	link, err := h.Netlink().LinkByName(name)
	if err != nil {
		a.t.Fatal(err)
	}
	return packet.MAC(link.Attrs().HardwareAddr)
}

// apply puts the service in force.
func (a *twoArms) apply() {
	a.t.Helper()
	s := service("web", a.vip.String(), balancer.NAT, 1)
	s.Backends[0].Address = lab.BackendAddr(0)
	own := []packet.MAC{a.mac(a.lab.Balancer, lab.Interface), a.mac(a.lab.Balancer, lab.Inner)}
	facts := balancer.Facts{
		Ports: []balancer.Port{{MAC: own[0], MTU: 1500}, {MAC: own[1], MTU: 1500}},
		NextHops: map[netip.Addr]balancer.NextHop{
			lab.BackendAddr(0): {MAC: a.mac(a.lab.Backends[0], lab.Interface), OnLink: true, Link: balancer.Link{Port: 1}},
		},
	}
	d, err := balancer.NewCompiler(balancer.NewLoads()).Compile(&balancer.Spec{Services: []balancer.ServiceSpec{s}}, &facts)
	if err != nil {
		a.t.Fatal(err)
	}
	plan, err := bpf.NewPlan(bpf.Steering{
		Services: []bpf.Service{{Address: a.vip.Addr(), Protocol: bpf.TCP, First: 80, Last: 80}},
		Replies:  []bpf.Endpoint{{Address: lab.BackendAddr(0), Protocol: bpf.TCP, First: 8080, Last: 8080}},
		MACs:     [][6]byte{own[0]}, MoreMACs: [][][6]byte{{own[1]}},
	}, bpf.DefaultLimits())
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.engine.Apply(d.Table, plan); err != nil {
		a.t.Fatal(err)
	}
}

// talk has the client exchange so many kilobytes with the backend, and returns the error.
func (a *twoArms) talk(kilobytes int) error {
	ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
	defer cancel()
	c, err := a.lab.Clients[0].Dial(ctx, "tcp", a.vip.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	out, in := make([]byte, 1024*kilobytes), make([]byte, 1024*kilobytes)
	for i := range out {
		out[i] = byte(i * i >> 8)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(out)
		sent <- err
	}()
	_, err = io.ReadFull(c, in)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	if !slices.Equal(in, out) {
		return errors.New("what came back is not what was sent")
	}
	return nil
}

// ports waits until what the workers have counted is published, and returns it by port.
func (a *twoArms) ports() [2]PortCounters {
	a.t.Helper()
	var last Counters
	eventually(a.t, "counters that stay as they are", func() bool {
		before := last.Received
		last = a.engine.Total()
		time.Sleep(20 * time.Millisecond)
		return last.Received == before && before > 0
	})
	return [2]PortCounters(last.Ports[:2])
}

// Real connections cross between two interfaces, with as many queues or fewer on either
// side, without a copy; with frames that can't be shared by a counted one.
func TestTwoArms(t *testing.T) {
	for _, c := range []struct {
		outer, inner int
		driver       xsk.Driver
	}{{1, 1, xsk.DriverNative}, {2, 1, xsk.DriverNative}, {1, 2, xsk.DriverNative}, {1, 1, xsk.DriverAsavie}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			if c.driver == xsk.DriverAsavie {
				testutil.RequireLinux(t, 6, 4, "rings that can be mapped once the socket is bound")
			}
			a := newTwoArms(t, c.outer, c.inner, c.driver)
			for range 8 { // some by each queue
				must(t, a.talk(64))
			}
			got := a.ports()
			if got[0].Received == 0 || got[0].Received != got[1].Sent || got[1].Received != got[0].Sent {
				t.Errorf("what comes by one does not leave by the other: %+v", got)
			}
			wantCopied := uint64(0)
			if c.driver == xsk.DriverAsavie {
				wantCopied = got[1].Sent
			}
			if got[1].Copied != wantCopied {
				t.Errorf("%+v: %d copied, want %d", got, got[1].Copied, wantCopied)
			}
			in := a.engine.Info()
			if len(in.Workers) != max(c.outer, c.inner) || len(in.Ports[0].Queues()) != c.outer || len(in.Ports[1].Queues()) != c.inner {
				t.Errorf("%d workers, queues %v and %v", len(in.Workers), in.Ports[0].Queues(), in.Ports[1].Queues())
			}
			if (in.Ports[1].Apart != "") != (c.driver == xsk.DriverAsavie) {
				t.Errorf("apart: %q", in.Ports[1].Apart)
			}
			for _, p := range in.Ports {
				if len(p.Sockets) != len(in.Workers) {
					t.Errorf("%s has sockets for %d workers of %d", p.Name, len(p.Sockets), len(in.Workers))
				}
				if p.Steering.Steered() == 0 || p.Attached != bpf.Native {
					t.Errorf("%s: %v, %v", p.Name, p.Attached, p.Steering)
				}
			}
		})
	}
}

// An interface that goes leaves the other at work, and is served again when it is back;
// which of them it is, and whose frames are used, makes no difference.
func TestOneArmGoesAndReturns(t *testing.T) {
	for number, name := range []string{lab.Interface, lab.Inner} {
		t.Run(name, func(t *testing.T) {
			a := newTwoArms(t, 2, 2, xsk.DriverNative)
			must(t, a.talk(16))
			open := len(descriptors())
			for range 2 {
				link, err := a.lab.Balancer.Netlink().LinkByName(name)
				must(t, err)
				must(t, a.lab.Balancer.Netlink().LinkDel(link))
				other := 1 - number
				a.do(func() error { return a.engine.Drop(number) })
				if in := a.engine.Info(); in.Ports[number].Index != 0 || in.Ports[other].Index == 0 || len(in.Workers) != 2 {
					t.Errorf("gone, but %+v", in.Ports)
				}
				plug := map[string]func(int) error{lab.Interface: a.lab.PlugBalancer, lab.Inner: a.lab.PlugInner}[name]
				must(t, plug(2))
				a.do(func() error { return a.engine.Take(number, a.index(name)) })
				a.apply()
				must(t, a.talk(16))
				in := a.engine.Info()
				if in.Ports[number].Index == 0 || in.Ports[number].Apart != "" || len(in.Ports[number].Queues()) != 2 {
					t.Errorf("back, but %+v", in.Ports[number])
				}
				for i, w := range in.Workers {
					if n := w.Frames.Total(); n != 6*2048 {
						t.Errorf("worker %d has %d frames", i, n)
					}
				}
				eventually(t, "as many descriptors as before", func() bool { return len(descriptors()) <= open }) // talk's go late
			}
		})
	}
}

// Sockets are opened anew on one interface while the other goes on, and have the frames
// that those before had.
func TestOneArmAnew(t *testing.T) {
	a := newTwoArms(t, 1, 1, xsk.DriverNative)
	must(t, a.talk(16))
	for number := range 2 {
		program := a.engine.lease.programs[number]
		a.do(func() error { return a.engine.Anew(number) })
		if a.engine.lease.programs[number] != program {
			t.Error("another program")
		}
		must(t, a.talk(16))
		eventually(t, "frames to be where they belong", func() bool {
			f := a.engine.Info().Workers[0].Frames
			return f.Total() == 6*2048 && f.Filled >= 2*2048 && f.Filled <= 2*2048+64
		})
	}
	if in := a.engine.Info(); in.Ports[0].Apart+in.Ports[1].Apart != "" {
		t.Errorf("%+v", in.Ports)
	}
}

// What can't be taken leaves the others as they are, and nothing behind.
func TestTakeInVain(t *testing.T) {
	a := newTwoArms(t, 1, 1, xsk.DriverNative)
	if err := a.engine.Take(1, 1); err == nil {
		t.Error("one that is served was taken")
	}
	a.do(func() error { return a.engine.Drop(1) })
	must(t, a.engine.Drop(1)) // nothing is left to do
	other, err := newReal(1, xsk.DriverNative)
	must(t, err)
	other.names = []string{lab.Inner}
	a.do(func() error { return other.Acquire(a.index(lab.Inner)) })
	a.do(func() error {
		if err := a.engine.Take(1, a.index(lab.Inner)); !errors.Is(err, bpf.ErrBusy) {
			t.Errorf("%v, want ErrBusy", err)
		}
		return other.Release()
	})
	if in := a.engine.Info(); in.Ports[1].Index != 0 || in.Ports[0].Index == 0 {
		t.Errorf("%+v", in.Ports)
	}
	a.do(func() error { return a.engine.Take(1, a.index(lab.Inner)) })
	must(t, a.talk(16))
}

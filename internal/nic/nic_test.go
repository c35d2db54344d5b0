package nic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLab(t *testing.T, queues int) *lab.Lab {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	l := newLab(t, 4)
	look := func(name string) (s State, err error) {
		err = l.Balancer.Do(func() error {
			s, err = Look(name)
			return err
		})
		return s, err
	}
	for _, c := range []struct{ rx, tx int }{{4, 4}, {2, 1}, {3, 2}, {1, 1}} {
		must(t, l.SetQueues(c.rx, c.tx))
		s, err := look(lab.Interface)
		if err != nil || s.RX != c.rx || s.TX != c.tx || s.MTU != 1500 || s.Index == 0 || s.Name != lab.Interface || s.Loopback || s.Bare || s.Program != 0 {
			t.Errorf("%d RX and %d TX queues: %+v, %v", c.rx, c.tx, s, err)
		}
	}
	must(t, l.Balancer.SetMTU(lab.Interface, 9000))
	if s, err := look(lab.Interface); err != nil || s.MTU != 9000 || s.Offloads != (Offloads{VLAN: true}) {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, l.Balancer.SetFeature(lab.Interface, "rx-vlan-hw-parse", false))
	if s, err := look(lab.Interface); err != nil || s.Offloads != (Offloads{}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := look("lo"); err != nil || s.RX != 1 || s.TX != 1 || !s.Loopback || s.Bare {
		t.Errorf("lo, whose driver tells nothing: %+v, %v", s, err)
	}
	must(t, l.Balancer.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun7"}, Mode: netlink.TUNTAP_MODE_TUN})
	}))
	if s, err := look("tun7"); err != nil || !s.Bare {
		t.Errorf("a TUN device: %+v, %v", s, err)
	}
	if _, err := look("nosuch0"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("nosuch0: %v", err)
	}
}

// What GRO merges below a device comes to it merged.
func TestMerging(t *testing.T) {
	for name, make := range map[string]func(*lab.Host, string) error{"bridge": (*lab.Host).AddBridge, "macvlan": (*lab.Host).AddMacvlan} {
		l := newLab(t, 1)
		must(t, make(l.Balancer, "up0"))
		for _, on := range []bool{false, true, false} {
			must(t, l.Balancer.SetFeature(lab.Interface, "rx-gro", on))
			must(t, l.Balancer.Do(func() error {
				upper, err := Look("up0")
				if want := map[bool][]string{true: {lab.Interface}}[on]; !slices.Equal(upper.Merging, want) {
					t.Errorf("%s, GRO %v: merging are %q", name, on, upper.Merging)
				}
				if lower, _ := Look(lab.Interface); lower.Merging != nil {
					t.Errorf("%s: below the port %q are merging", name, lower.Merging)
				}
				return err
			}))
		}
	}
}

func TestNoZeroCopy(t *testing.T) {
	l := newLab(t, 1)
	testutil.RequireLinux(t, 6, 3, "drivers that tell what they have for XDP")
	must(t, l.Balancer.Do(func() error {
		s, err := Look(lab.Interface)
		if s.NoFrags || s.ZeroCopyFrames > 1 {
			t.Errorf("a veth gives packets in several buffers, and has no zero-copy: %+v", s)
		}
		if !s.NoZeroCopy {
			t.Error("a veth does not say that it has no zero-copy")
		}
		return err
	}))
}

// Whatever is changed, and however, is told.
func TestWatch(t *testing.T) {
	l := newLab(t, 4)
	states := make(chan State, 100)
	var w *Watcher
	must(t, l.Balancer.Do(func() (err error) {
		w, err = Watch(lab.Interface, zap.NewNop(), func(s State) error { states <- s; return nil })
		return err
	}))
	defer w.Close()
	if s := <-states; s.RX != 4 {
		t.Errorf("at first %+v", s)
	}
	await := func(what string, ok func(State) bool) {
		t.Helper()
		for deadline := time.After(20 * time.Second); ; {
			select {
			case s := <-states:
				if ok(s) {
					return
				}
			case <-deadline:
				t.Fatalf("%s is not told", what)
			}
		}
	}
	for i, n := range []int{2, 3, 1} {
		on := i%2 != 0 // it is at first
		must(t, l.SetQueues(n, n))
		await("the number of queues", func(s State) bool { return s.RX == n && s.TX == n })
		must(t, l.Balancer.SetMTU(lab.Interface, 1500-n))
		await("the MTU", func(s State) bool { return s.MTU == 1500-n })
		must(t, l.Balancer.SetFeature(lab.Interface, "rx-vlan-hw-parse", on))
		await("an offload", func(s State) bool { return s.Offloads.VLAN == on })
	}
}

// Where interfaces come and go without a pause, what becomes of this one is told all the
// same.
func TestWatchInAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := openReader("lo")
		must(t, err)
		defer r.close()
		looks := 0
		w := &Watcher{
			reader: r, log: zap.NewNop(), events: newSubscription(),
			stop: make(chan struct{}), ended: make(chan struct{}),
			again: true, adapt: func(State) error { looks++; return errors.New("once more") },
		}
		go w.watch()
		for range 1000 { // all of them before the next tick
			select {
			case w.events.kick <- struct{}{}:
			default:
			}
			time.Sleep(settleTime / 2)
		}
		close(w.stop)
		<-w.ended
		if looks == 0 {
			t.Error("the interface was not looked at")
		}
	})
}

// An interface that goes is not the end of the watcher, and it is taken up again.
func TestWatchOfAnInterfaceThatGoes(t *testing.T) {
	l := newLab(t, 2)
	states := make(chan State, 100)
	var w *Watcher
	must(t, l.Balancer.Do(func() (err error) {
		w, err = Watch(lab.Interface, zap.NewNop(), func(s State) error { states <- s; return nil })
		return err
	}))
	defer w.Close()
	was := <-states
	link, err := l.Balancer.Netlink().LinkByName(lab.Interface)
	must(t, err)
	must(t, l.Balancer.Netlink().LinkDel(link))
	must(t, l.PlugBalancer(3))
	for deadline := time.After(20 * time.Second); ; {
		select {
		case s := <-states:
			if s.RX == 3 && s.Index != was.Index {
				return
			}
		case <-deadline:
			t.Fatal("the new interface is not told")
		}
	}
}

// Who could not make of a state what is to be made of it is asked again, until it can.
func TestWatchAgain(t *testing.T) {
	l := newLab(t, 1)
	calls := make(chan State, 100)
	left := 3
	var w *Watcher
	must(t, l.Balancer.Do(func() (err error) {
		w, err = Watch(lab.Interface, zap.NewNop(), func(s State) error {
			calls <- s
			if left--; left > 0 {
				return errors.New("not yet")
			}
			return nil
		})
		return err
	}))
	defer w.Close()
	for range 3 {
		select {
		case <-calls:
		case <-time.After(20 * time.Second):
			t.Fatal("it is not asked again")
		}
	}
}

func TestWatchNoInterface(t *testing.T) {
	newLab(t, 1)
	if _, err := Watch("nosuch0", zap.NewNop(), func(State) error { t.Error("told"); return nil }); !errors.Is(err, ErrNoInterface) {
		t.Errorf("nosuch0: %v", err)
	}
}

func TestUnserved(t *testing.T) {
	for name, c := range map[string]struct {
		s      State
		served []int
		queues []int
		share  float64
	}{
		"all":                            {State{RX: 2}, []int{1, 0}, nil, 0},
		"one of two":                     {State{RX: 2}, []int{0}, []int{1}, 0.5},
		"more than there are":            {State{RX: 1}, []int{0, 1}, nil, 0},
		"one of four, by the table":      {State{RX: 4, Hash: []uint32{0, 1, 2, 3}}, []int{2}, []int{0, 1, 3}, 0.75},
		"RSS leaves out what is not":     {State{RX: 4, Hash: []uint32{0, 1, 0, 1}}, []int{0, 1}, []int{2, 3}, 0},
		"weights":                        {State{RX: 2, Hash: []uint32{0, 1, 1, 1}}, []int{0}, []int{1}, 0.75},
		"RSS goes to a queue of no list": {State{RX: 1, Hash: []uint32{0, 5}}, []int{0}, nil, 0.5},
	} {
		queues, share := c.s.Unserved(c.served)
		if !slices.Equal(queues, c.queues) || share != c.share {
			t.Errorf("%s: queues %v, share %v; want %v, %v", name, queues, share, c.queues, c.share)
		}
	}
}

// A folder of sysfs counts only if it is of this very interface: in another namespace
// there may be one of the same name.
func TestSysfsQueues(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	write("ifindex", "7\n")
	write("address", "02:00:00:00:00:01\n")
	for _, q := range []string{"rx-0", "rx-1", "rx-2", "rx-3", "tx-0", "tx-1"} {
		write("queues/"+q+"/x", "")
	}
	own := netlink.LinkAttrs{Index: 7, HardwareAddr: []byte{2, 0, 0, 0, 0, 1}}
	if rx, tx, ok := sysfsQueues(folder, &own); rx != 4 || tx != 2 || !ok {
		t.Errorf("%d RX and %d TX queues, %v", rx, tx, ok)
	}
	for _, other := range []netlink.LinkAttrs{{Index: 8, HardwareAddr: own.HardwareAddr}, {Index: 7, HardwareAddr: []byte{2, 0, 0, 0, 0, 2}}} {
		if _, _, ok := sysfsQueues(folder, &other); ok {
			t.Errorf("taken for %+v", other)
		}
	}
	if _, _, ok := sysfsQueues(filepath.Join(folder, "nowhere"), &own); ok {
		t.Error("taken from nowhere")
	}
}

func TestIndirectionOfWhoHasNone(t *testing.T) {
	l := newLab(t, 2)
	must(t, l.Balancer.Do(func() error {
		r, err := openReader(lab.Interface)
		if err != nil {
			return err
		}
		defer r.close()
		if table, err := indirection(r.fd, lab.Interface); err == nil {
			return fmt.Errorf("a veth has the table %v", table)
		}
		return nil
	}))
}

// Both ways to change an interface are announced, each by a group of its own: what a veth
// has for ethtool is mostly a change of the link too.
func TestSubscription(t *testing.T) {
	l := newLab(t, 3)
	monitor, ok := monitorGroup()
	if !ok {
		t.Fatal("ethtool announces nothing")
	}
	for name, c := range map[string]struct {
		protocol int
		group    uint32
		change   func() error
	}{
		"features": {unix.NETLINK_GENERIC, monitor, func() error { return l.Balancer.SetFeature(lab.Interface, "rx-vlan-hw-parse", false) }},
		"queues":   {unix.NETLINK_GENERIC, monitor, func() error { return l.SetQueues(2, 2) }},
		"MTU":      {unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, func() error { return l.Balancer.SetMTU(lab.Interface, 1400) }},
	} {
		s := newSubscription()
		must(t, l.Balancer.Do(func() error { return s.join(c.protocol, c.group) }))
		must(t, c.change())
		select {
		case <-s.kick:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: nothing is announced", name)
		}
		s.close()
	}
	var all *subscription
	must(t, l.Balancer.Do(func() (err error) {
		all, err = subscribe()
		return err
	}))
	defer all.close()
	if len(all.sockets) != 2 {
		t.Errorf("%d groups are listened to, want both", len(all.sockets))
	}
}

// A driver lacks what it says that it lacks, and no more.
func TestReadFeatures(t *testing.T) {
	answer := func(attrs ...byte) []byte { return append([]byte{1, 1, 0, 0}, attrs...) }
	says := func(b byte) []byte { return []byte{12, 0, 3, 0, b, 0, 0, 0, 0, 0, 0, 0} }
	for name, c := range map[string]struct {
		reply []byte
		want  features
	}{
		"none":           {answer(says(7)...), features{noZeroCopy: true, noFrags: true}},
		"zero-copy":      {answer(says(15)...), features{noFrags: true}},
		"several":        {answer(says(32 | 7)...), features{noZeroCopy: true}},
		"zero-copy, 5":   {answer(append(says(32|15), 8, 0, 4, 0, 5, 0, 0, 0)...), features{zeroCopyFrames: 5}},
		"nothing":        {answer(), features{}},
		"another":        {answer(8, 0, 1, 0, 5, 0, 0, 0), features{}},
		"cut short":      {answer(says(7)[:6]...), features{}},
		"hardly a reply": {[]byte{1}, features{}},
	} {
		if got := readFeatures(c.reply); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestVirtioNetMergesNothing: what it shows as on is off while a program is attached.
func TestVirtioNetMergesNothing(t *testing.T) {
	on := map[string]bool{"rx-gro-hw": true, "rx-lro": true, "rx-vlan-hw-parse": true, "rx-gro": true}
	if got := offloads("virtio_net", on); got != (Offloads{VLAN: true}) {
		t.Errorf("virtio_net: %+v", got)
	}
	if got := offloads("mlx5_core", on); got != (Offloads{VLAN: true, LRO: true, GROHardware: true}) {
		t.Errorf("mlx5_core: %+v", got)
	}
}

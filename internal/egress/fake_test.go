package egress

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

const served = 2 // the interface's number in a fake

// fake is a kernel in which all is on the link, and errors and delays are as a test
// wants them. It is for a synctest bubble.
type fake struct {
	mu      sync.Mutex
	down    bool // the link is
	macs    map[netip.Addr]byte
	routes  map[netip.Addr]netlink.Route // those that are not on the link
	took    time.Duration                // by each look
	routeOf error                        // of each RouteGetWithOptions
	dump    error                        // of each NeighList
	set     error                        // of each NeighSet
	reread  func()                       // once, after the next NeighList

	gateways []netlink.Route // all routes that there are, of IPv4
	dumpOf   error           // of each RouteListFilteredIter
	dumpTook time.Duration   // by each

	looks, lookups, questions, dumps int
}

func (f *fake) RouteListFilteredIter(family int, _ *netlink.Route, _ uint64, visit func(netlink.Route) bool) error {
	f.mu.Lock()
	took := f.dumpTook
	f.mu.Unlock()
	time.Sleep(took)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dumps++
	for _, r := range f.gateways {
		if family == netlink.FAMILY_V4 {
			visit(r)
		}
	}
	return f.dumpOf
}

func (f *fake) LinkList() ([]netlink.Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := device(served, "", 0, 0)
	l.Name, l.OperState = "eth0", netlink.OperUp
	if f.down {
		l.OperState = netlink.OperDown
	}
	return []netlink.Link{l}, nil
}

func (f *fake) MTUs6() (map[int]int, error) { return nil, nil }

func (f *fake) BridgeVlanList() (map[int32][]*nl.BridgeVlanInfo, error) { return nil, nil }

func (f *fake) Nexthops(netip.Addr) ([]*netlink.NexthopInfo, error) {
	return nil, errors.New("a fake has no nexthop objects")
}

func (f *fake) AddrList(netlink.Link, int) ([]netlink.Addr, error) { return nil, nil }

func (f *fake) NeighList(_, family int) (list []netlink.Neigh, err error) {
	f.mu.Lock()
	took := f.took
	f.mu.Unlock()
	if family == netlink.FAMILY_V4 {
		time.Sleep(took) // unlocked: a bubble's clock stands still while anybody waits for a lock
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if family == netlink.FAMILY_V4 {
		f.looks++
	}
	for a, mac := range f.macs {
		if a.Is4() == (family == netlink.FAMILY_V4) {
			list = append(list, netlink.Neigh{LinkIndex: served, IP: a.AsSlice(), State: unix.NUD_REACHABLE, HardwareAddr: net.HardwareAddr{mac, 0, 0, 0, 0, 0}})
		}
	}
	if f.reread != nil && family == netlink.FAMILY_V6 {
		f.reread()
		f.reread = nil
	}
	return list, f.dump
}

func (f *fake) NeighSet(*netlink.Neigh) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.questions++
	return f.set
}

func (f *fake) RouteGetWithOptions(to net.IP, _ *netlink.RouteGetOptions) ([]netlink.Route, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups++
	if f.routeOf != nil {
		return nil, f.routeOf
	}
	a, _ := netip.AddrFromSlice(to)
	r, ok := f.routes[a.Unmap()]
	if !ok {
		r = netlink.Route{LinkIndex: served, Type: unix.RTN_UNICAST}
	}
	return []netlink.Route{r}, nil
}

// with changes the kernel, which announces nothing of it.
func (f *fake) with(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// counts returns how often it was looked at, and how many routes were looked up.
func (f *fake) counts() (looks, lookups int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks, f.lookups
}

// faked is a watcher of a fake.
type faked struct {
	*Watcher
	fake    *fake
	batches chan []event
	logs    *observer.ObservedLogs
}

// run has a test in a synctest bubble with a watcher of the fake, that wants addrs, and
// has looked at them some time ago.
func run(t *testing.T, f *fake, addrs []netip.Addr, test func(t *testing.T, w *faked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		batches := make(chan []event)
		w := &faked{newWatcher([]string{"eth0"}, nil, zap.New(core), func() {}, f, batches), f, batches, logs}
		go w.watch()
		defer w.Close()
		w.Set(addrs)
		time.Sleep(1500 * time.Millisecond) // a tick is past, the next one half a second away
		synctest.Wait()
		test(t, w)
	})
}

// hop returns the hop to a after some time.
func (w *faked) hop(after time.Duration, a netip.Addr) Hop {
	time.Sleep(after)
	synctest.Wait()
	return w.Snapshot().Hops[a]
}

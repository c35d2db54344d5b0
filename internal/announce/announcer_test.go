package announce

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// stage is a lab with an announcer in its balancer.
type stage struct {
	t   *testing.T
	lab *lab.Lab
	a   *Announcer

	mu    sync.Mutex
	wants map[netip.Addr]balancer.Announce
	told  []State
}

func newStage(t *testing.T) *stage {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, lab: l, wants: map[netip.Addr]balancer.Announce{}}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// open opens the announcer, which is closed with the test if not before.
func (s *stage) open() {
	s.t.Helper()
	s.do(func() (err error) {
		s.a, err = Open(Options{
			Ports: func() []string { return []string{lab.Interface} },
			Wants: func() map[netip.Addr]balancer.Announce { s.mu.Lock(); defer s.mu.Unlock(); return maps.Clone(s.wants) },
			Tell:  func(_ netip.Addr, _, is State) { s.told = append(s.told, is) },
		})
		return err
	})
}

func (s *stage) do(f func() error) {
	s.t.Helper()
	if err := s.lab.Balancer.Do(f); err != nil {
		s.t.Fatal(err)
	}
}

// await looks, as Run does, until ok accepts the state of an address.
func (s *stage) await(a netip.Addr, what string, ok func(State) bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.do(func() error { s.a.Look(); return nil })
		if ok(s.a.States()[a]) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%v does not come to %s: %+v", a, what, s.a.States()[a])
		}
	}
}

func held(s State) bool { return s.Held && s.Problem == "" }

// has returns the device with the address, empty if none has.
func (s *stage) has(a netip.Addr) (name string) {
	s.do(func() error {
		own, err := addresses()
		if err != nil {
			return err
		}
		all, err := links()
		l := look{links: all, own: own}
		if o := l.find(a); o != nil {
			name = l.link(o.device).name
		}
		return err
	})
	return name
}

var (
	vip4, vip6 = netip.MustParseAddr("198.51.100.200"), netip.MustParseAddr("2001:db8:2::200")
	single     = netip.MustParseAddr("198.51.100.201")
)

// What others have on the machine stays as it is: an address, whether or not it is where ours
// would be, and a device of the name that ours would have.
func TestOthersThings(t *testing.T) {
	s := newStage(t)
	theirs := netip.PrefixFrom(vip4, 32)
	if err := s.lab.Balancer.AddAddrs(lab.Interface, theirs); err != nil {
		t.Fatal(err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "afxlb0"}}
	if err := s.lab.Balancer.Netlink().LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	s.wants = map[netip.Addr]balancer.Announce{vip4: balancer.AnnounceARP, single: balancer.AnnounceLocal}
	s.open()
	problem := func(s State) bool { return !s.Held && s.Problem != "" }
	s.await(vip4, "be somebody else's", problem)
	s.await(single, "have no device", problem)
	s.do(func() error { s.a.Close(); return nil })
	if s.has(vip4) != lab.Interface || s.has(single) != "" {
		t.Errorf("%v is on %q, %v on %q", vip4, s.has(vip4), single, s.has(single))
	}
	if _, err := s.lab.Balancer.Netlink().LinkByName("afxlb0"); err != nil {
		t.Error(err)
	}
}

// An address that is taken away comes back, one that becomes somebody's in another way is
// moved there, and who is on the link is told when the MAC address is another.
func TestKeptUp(t *testing.T) {
	s := newStage(t)
	s.wants = map[netip.Addr]balancer.Announce{vip4: balancer.AnnounceARP, vip6: balancer.AnnounceARP, single: balancer.AnnounceLocal}
	s.open()
	defer s.do(func() error { s.a.Close(); return nil })
	for a := range s.wants {
		s.await(a, "be held", held)
	}
	if err := s.lab.Balancer.DelAddrs(lab.Interface, netip.PrefixFrom(vip4, 32)); err != nil {
		t.Fatal(err)
	}
	link, err := s.lab.Balancer.Netlink().LinkByName("afxlb0")
	if err == nil {
		err = s.lab.Balancer.Netlink().LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{vip4, single} {
		s.await(a, "be back", func(State) bool { return s.has(a) != "" })
	}

	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
	if err := s.lab.Balancer.SetMAC(lab.Interface, mac); err != nil {
		t.Fatal(err)
	}
	tap, err := s.lab.Wiretap()
	if err != nil {
		t.Fatal(err)
	}
	for told := map[netip.Addr]bool{}; !told[vip4] || !told[vip6]; {
		s.await(vip4, "be held", held)
		f, err := tap.Next(20 * time.Millisecond)
		if c, ok := parseClaim(f); err == nil && ok && c.mac == [6]byte(mac) && !c.probe {
			told[c.address] = true
		}
	}

	setting := "net/ipv4/conf/" + lab.Interface + "/arp_ignore"
	for _, value := range []string{"2", "0"} {
		if err := s.lab.Balancer.Sysctl(setting, value); err != nil {
			t.Fatal(err)
		}
		s.await(vip4, "say whether it is answered for", func(st State) bool {
			return st.Held && strings.Contains(st.Problem, "arp_ignore is 2 on eth0") == (value == "2")
		})
	}

	before := len(s.told)
	s.wants = map[netip.Addr]balancer.Announce{vip4: balancer.AnnounceLocal}
	s.await(vip4, "move", func(st State) bool { return held(st) && s.has(vip4) == "afxlb0" })
	s.wants = map[netip.Addr]balancer.Announce{vip4: balancer.AnnounceARP}
	s.await(vip4, "move back", func(st State) bool { return held(st) && s.has(vip4) == lab.Interface })
	for _, is := range s.told[before:] {
		if is.Problem != "" {
			t.Errorf("its own address is in its way: %s", is.Problem)
		}
	}
	if s.has(vip6) != "" || s.has(single) != "" {
		t.Errorf("%v is on %q still, %v on %q", vip6, s.has(vip6), single, s.has(single))
	}
}

// Two balancers on a machine have each a seat, and neither takes the other's addresses for
// what a dead one left.
func TestSeats(t *testing.T) {
	s := newStage(t)
	s.wants = map[netip.Addr]balancer.Announce{vip4: balancer.AnnounceARP, single: balancer.AnnounceLocal}
	s.open()
	first := s.a
	for a := range s.wants {
		s.await(a, "be held", held)
	}
	s.open()
	if s.a.seat.number != 1 || s.has(vip4) != lab.Interface || s.has(single) != "afxlb0" {
		t.Errorf("the second has seat %d, %v is on %q, %v on %q", s.a.seat.number, vip4, s.has(vip4), single, s.has(single))
	}
	left := func() (list []Left) {
		s.do(func() (err error) { list, err = LookForLeft(); return err })
		return list
	}
	if l := left(); len(l) != 0 {
		t.Errorf("left behind are %v, whose holder lives", l)
	}
	s.do(func() error { s.a.Close(); first.seat.leave(); return nil }) // as if the first had been killed
	if l := left(); len(l) != 1 || l[0] != (Left{vip4, lab.Interface}) {
		t.Errorf("left behind are %v, want %v", l, vip4)
	}
	s.open()
	if s.a.seat.number != 0 || s.has(vip4) != "" {
		t.Errorf("after its death the next has seat %d, %v is on %q", s.a.seat.number, vip4, s.has(vip4))
	}
	s.do(func() error { s.a.Close(); first.Close(); return nil })
	if s.has(single) != "" {
		t.Errorf("%v is on %q", single, s.has(single))
	}
}

// Run looks by itself, and at once when it is kicked.
func TestRun(t *testing.T) {
	looks := make(chan struct{}, 100)
	a := &Announcer{kick: make(chan struct{}, 1), o: Options{Wants: func() map[netip.Addr]balancer.Announce { looks <- struct{}{}; return nil }}}
	a.published.Store(&map[netip.Addr]State{})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	<-looks
	a.Kick()
	<-looks
	stop()
	running.Wait()
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

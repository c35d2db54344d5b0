package bpf

import (
	"errors"
	"strings"
	"testing"
)

var (
	secondMAC = [6]byte{2, 0, 0, 0, 2, 1}
	thirdMAC  = [6]byte{2, 0, 0, 0, 3, 1}
)

// share returns a program for a further interface, to be closed at the test's end.
func share(t testing.TB, p *Program, port int) *Program {
	t.Helper()
	s, err := p.Share(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// apply has all programs steer by s.
func apply(t testing.TB, s Steering, programs ...*Program) {
	t.Helper()
	for _, p := range programs {
		if err := p.Apply(plan(t, s)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShare: what is steered is the same on all interfaces, and each judges by its own MAC
// addresses, steers to its own sockets and counts for itself.
func TestShare(t *testing.T) {
	first := loadWithSocket(t, Steering{})
	second, third := share(t, first, 1), share(t, first, 2)
	if err := second.SetSocket(0, bindSocket(t, linkByName(t, "v1"), 0).fd); err != nil {
		t.Fatal(err)
	}
	s := testSteering()
	s.MoreMACs = [][][6]byte{{secondMAC, vrrpMAC}, {thirdMAC}}
	apply(t, s, first, second, third)
	service := frame(tcp(client4, vip4, 40000, 80))
	for _, c := range []struct {
		name string
		p    *Program
		mac  [6]byte
		want uint32
		why  Reason
	}{
		{"first", first, ownMAC, xdpRedirect, SteeredService},
		{"first, VRRP's", first, vrrpMAC, xdpRedirect, SteeredService},
		{"first, the second's", first, secondMAC, xdpPass, Passed},
		{"second", second, secondMAC, xdpRedirect, SteeredService},
		{"second, VRRP's", second, vrrpMAC, xdpRedirect, SteeredService},
		{"second, the first's", second, ownMAC, xdpPass, Passed},
		{"third, without a socket", third, thirdMAC, xdpDrop, DroppedNoSocket},
		{"third, VRRP's that is not there", third, vrrpMAC, xdpPass, Passed},
	} {
		if action, why := run(t, c.p, sendTo(c.mac, service)); action != c.want || why != c.why {
			t.Errorf("%s: action %d, %s; want %d, %s", c.name, action, why, c.want, c.why)
		}
	}
	if n := counters(t, second); n[SteeredService] != 2 || n[Passed] != 1 || n[DroppedNoSocket] != 0 {
		t.Errorf("the second counted %v", n)
	}
	// What is steered is one for all, and the first one's to write.
	s.Services = nil
	apply(t, s, second, third)
	if _, why := run(t, second, sendTo(secondMAC, service)); why != SteeredService {
		t.Errorf("a further interface's program has taken the services: %s", why)
	}
	apply(t, s, first)
	for name, p := range map[string]*Program{"second": second, "third": third} {
		mac := secondMAC
		if p == third {
			mac = thirdMAC
		}
		if _, why := run(t, p, sendTo(mac, service)); why != Passed {
			t.Errorf("%s: %s, without services", name, why)
		}
	}
}

// TestShareMACs: those of one interface change without the others'; one that no plan
// speaks of any more is not judged by them.
func TestShareMACs(t *testing.T) {
	first := loadWithSocket(t, Steering{})
	second := share(t, first, 1)
	service := frame(tcp(client4, vip4, 40000, 80))
	for _, c := range []struct {
		more        [][][6]byte
		taken, left [6]byte
	}{
		{[][][6]byte{{secondMAC}}, secondMAC, thirdMAC},
		{[][][6]byte{{thirdMAC}}, thirdMAC, secondMAC},
		{[][][6]byte{{secondMAC, thirdMAC}}, thirdMAC, ownMAC},
		{nil, ownMAC, groupMAC},
	} {
		s := testSteering()
		s.MoreMACs = c.more
		apply(t, s, first, second)
		if _, why := run(t, second, sendTo(c.taken, service)); why != DroppedNoSocket {
			t.Errorf("%v: a frame for %v: %s", c.more, c.taken, why)
		}
		if _, why := run(t, second, sendTo(c.left, service)); why != Passed {
			t.Errorf("%v: a frame for %v: %s", c.more, c.left, why)
		}
		if _, why := run(t, first, service); why != SteeredService {
			t.Errorf("%v: the first one: %s", c.more, why)
		}
	}
}

// TestShareAttach: each is on an interface of its own, is renewed there, and goes without
// the others, whichever goes first.
func TestShareAttach(t *testing.T) {
	newNamespace(t)
	v0, v1 := newVeth(t)
	first := load(t, Config{}, testSteering())
	second := share(t, first, 1)
	for _, c := range []struct {
		p     *Program
		index int
	}{{first, v0.Attrs().Index}, {second, v1.Attrs().Index}} {
		if mode, err := c.p.Attach(c.index); err != nil || mode != Native {
			t.Fatalf("%s mode, %v", mode, err)
		}
	}
	if err := second.Renew(); err != nil {
		t.Fatal(err)
	}
	if id, _ := attached(t, v1.Attrs().Name); id != programID(t, second) {
		t.Errorf("program %d is there, not %d", id, programID(t, second))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if id, _ := attached(t, v0.Attrs().Name); id != 0 {
		t.Errorf("program %d is there after Close", id)
	}
	if _, why := run(t, second, frame(tcp(client4, vip4, 40000, 80))); why != DroppedNoSocket {
		t.Errorf("after the first has gone: %s", why)
	}
	if err := second.Renew(); err != nil {
		t.Errorf("after the first has gone: %v", err)
	}
}

func TestShareWrong(t *testing.T) {
	newNamespace(t)
	first := load(t, Config{}, Steering{})
	second := share(t, first, 1)
	if _, err := second.Share(2); err == nil || !strings.Contains(err.Error(), "the first one's") {
		t.Errorf("a further interface's program was shared: %v", err)
	}
	if _, err := first.Share(0); err == nil {
		t.Error("shared with itself")
	}
	s := testSteering()
	s.MoreMACs = [][][6]byte{{{}}}
	if _, err := NewPlan(s, DefaultLimits()); err == nil {
		t.Error("a MAC address that is no machine's")
	}
	s.MoreMACs = [][][6]byte{nil, nil}
	for i := range maxMACs + 1 {
		s.MoreMACs[1] = append(s.MoreMACs[1], [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)})
	}
	if _, err := NewPlan(s, DefaultLimits()); !errors.Is(err, ErrFull) {
		t.Errorf("%d MAC addresses: %v", maxMACs+1, err)
	}
}

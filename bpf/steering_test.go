package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// TestApplyNeverInBetween: after each single change on the way from one steering
// to the next, what both agree on is so.
func TestApplyNeverInBetween(t *testing.T) {
	r := random(t)
	f := newFakeMaps()
	var old Steering
	for range 60 {
		next := randomSteering(r)
		all := questions(old, next)
		var agreed []question
		for _, q := range all {
			if q.right(old) == q.right(next) {
				agreed = append(agreed, q)
			}
		}
		f.changed = func() {
			for range 100 { // of thousands
				q := pick(r, agreed...)
				if want := q.right(old); q.ask(f) != want {
					t.Fatalf("%+v: %d in the midst of a change, %d before and after\n%+v\n%+v", q, q.ask(f), want, old, next)
				}
			}
			for _, a := range addresses() {
				local := f.address(a).Local == 1
				before, after := slices.Contains(old.Local, a), slices.Contains(next.Local, a)
				if before == after && local != before {
					t.Fatalf("%s: local %v in the midst of a change, %v before and after", a, local, before)
				}
			}
		}
		if err := f.apply(next); err != nil {
			t.Fatal(err)
		}
		for _, q := range all {
			if q.ask(f) != q.right(next) {
				t.Fatalf("%+v: %d\n%+v", q, q.ask(f), next)
			}
		}
		same(t, next, f.content())
		old = next
	}
}

// TestApplyChangesOnlyWhatDiffers: nothing twice, and one port is one entry.
func TestApplyChangesOnlyWhatDiffers(t *testing.T) {
	f, s := newFakeMaps(), testSteering()
	if err := f.apply(s); err != nil {
		t.Fatal(err)
	}
	expect := func(want int, why string) {
		t.Helper()
		f.changes = 0
		if err := f.apply(s); err != nil {
			t.Fatal(err)
		}
		if f.changes != want {
			t.Errorf("%s: %d changes, want %d", why, f.changes, want)
		}
	}
	expect(0, "the same again")
	s.Services = append(s.Services, s.Services[0], Service{ip(vip4), TCP, 8010, 8010})
	expect(1, "one twice, and a port that a range has")
	s.Services = append(s.Services, Service{ip(vip4), TCP, 81, 81})
	expect(1, "a port more at an address that has one")
	s.Services = s.Services[:len(s.Services)-1]
	expect(1, "a port less")
	s.Local = append(s.Local, ip("192.0.2.77"))
	expect(1, "a local address")
	s.MACs = append(s.MACs, otherMAC)
	expect(1, "a MAC address")
	s.MACs = [][6]byte{vrrpMAC, ownMAC, otherMAC}
	expect(1, "another MAC address is the interface's own")
	s.Ephemeral.Last = s.Ephemeral.First
	expect(0, "ports that no service has")
	s = Steering{}
	f.changes = 0
	if err := f.apply(s); err != nil {
		t.Fatal(err)
	}
	if n := len(f.addresses.content) + len(f.services.content) + len(f.replies.content) + len(f.macs.content); n != 0 {
		t.Errorf("%d entries are left after nothing was applied", n)
	}
}

// TestApplyAfterErrors: whatever change fails, a later Apply sets all right.
func TestApplyAfterErrors(t *testing.T) {
	r := random(t)
	f := newFakeMaps()
	broken := errors.New("broken")
	failed := 0
	for range 300 {
		next := randomSteering(r)
		left := r.IntN(20)
		f.change = func() error {
			if left--; left < 0 {
				return broken
			}
			return nil
		}
		err := f.apply(next)
		if err == nil {
			continue
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		failed++
		if r.IntN(2) == 0 {
			next = randomSteering(r) // the caller may have given up on it
		}
		f.change = func() error { return nil }
		if err := f.apply(next); err != nil {
			t.Fatal(err)
		}
		same(t, next, f.content())
	}
	if failed < 20 {
		t.Errorf("only %d changes failed", failed)
	}
}

// TestApplyInKernel: the kernel's maps hold what the fakes do, through a random
// sequence and at the limit, where the old and the new meet.
func TestApplyInKernel(t *testing.T) {
	r := random(t)
	limits := Limits{Addresses: 30, Ports: 400}
	p := load(t, Config{Limits: limits}, Steering{})
	check := func(s Steering) {
		t.Helper()
		plan, err := NewPlan(s, limits)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(plan); err != nil {
			t.Fatal(err)
		}
		got := contents{
			Addresses: dump[steerIp, steerAddress](t, p.objects.Addresses),
			Services:  dump[steerBlock, uint8](t, p.objects.Services),
			Replies:   dump[steerBlock, uint8](t, p.objects.Replies),
			MACs:      dump[macWord, uint8](t, p.objects.Macs),
		}
		if err := p.objects.OwnMac.Get(&got.OwnMAC); err != nil {
			t.Fatal(err)
		}
		same(t, s, got)
	}
	for range 40 {
		check(randomSteering(r))
	}
	full := func(from int) (s Steering) {
		for i := range 400 {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(from + i%30)})
			s.Services = append(s.Services, Service{a, TCP, uint16(2 * i), uint16(2 * i)})
			s.Replies = append(s.Replies, Endpoint{a, TCP, uint16(i + 1), uint16(i + 1)})
		}
		return s
	}
	check(full(0))
	check(full(100)) // no address, service or backend in common
	check(full(0))
	check(Steering{})
}

func dump[K comparable, V any](t *testing.T, m *ebpf.Map) map[any]any {
	t.Helper()
	content := map[any]any{}
	var k K
	var v V
	entries := m.Iterate()
	for entries.Next(&k, &v) {
		content[k] = v
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	return content
}

// TestBlocks: the blocks of a range have each of its ports once, and no others,
// and are few.
func TestBlocks(t *testing.T) {
	r := random(t)
	ranges := [][2]uint16{{0, 65535}, {0, 0}, {65535, 65535}, {0, 32767}, {32768, 65535}, {1, 65534}, {8000, 8099}, {80, 80}}
	for range 200 {
		first, last := uint16(r.Uint32()), uint16(r.Uint32())
		ranges = append(ranges, [2]uint16{min(first, last), max(first, last)})
	}
	for _, c := range ranges {
		s := blocks{}
		orders := s.add(ip(vip4), TCP, c[0], c[1], shareNone)
		var times [65536]int
		var want uint32
		for b := range s {
			if int(b.First)%(1<<b.Order) != 0 || b.Address != ipFrom(ip(vip4)) || b.Protocol != TCP {
				t.Fatalf("%d to %d: a block of %s", c[0], c[1], b)
			}
			want |= 1 << b.Order
			for i := range 1 << b.Order {
				times[int(b.First)+i]++
			}
		}
		for port, n := range times {
			if in := int(c[0]) <= port && port <= int(c[1]); n > 1 || in != (n == 1) {
				t.Fatalf("%d to %d: port %d is in %d blocks", c[0], c[1], port, n)
			}
		}
		if orders != want || len(s) > 30 {
			t.Errorf("%d to %d: %d blocks of orders %b, reported as %b", c[0], c[1], len(s), want, orders)
		}
	}
	if s := (blocks{}); s.add(ip(vip4), TCP, 0, 65535, shareNone) != 1<<anyPort || len(s) != 1 {
		t.Errorf("any port is more than one block: %v", s)
	}
}

// TestMappedAddresses: an IPv4 address may come in either form.
func TestMappedAddresses(t *testing.T) {
	form := func(prefix string) Steering {
		return Steering{
			Services: []Service{{ip(prefix + vip4), TCP, 80, 80}},
			Replies:  []Endpoint{{ip(prefix + backend4), TCP, 8080, 8080}},
			Local:    []netip.Addr{ip(prefix + own4)},
		}
	}
	if d := cmp.Diff(applied(t, form("")), applied(t, form("::ffff:"))); d != "" {
		t.Error(d)
	}
}

func TestNames(t *testing.T) {
	b := steerBlock{Address: ipFrom(ip(vip4)), First: 8064, Protocol: TCP, Order: 5}
	if got, want := fmt.Sprint(b), "192.0.2.10 protocol 6 ports 8064 to 8095"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m := newState()
	if err := m.addMAC(vrrpMAC); err != nil || m.ownMAC.String() != "00:00:5e:00:01:0a" {
		t.Errorf("%s, %v", m.ownMAC, err)
	}
	if got := fmt.Sprint(ipFrom(ip(vip6))); got != vip6 {
		t.Errorf("%q, want %q", got, vip6)
	}
}

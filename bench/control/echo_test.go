package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/internal/lab"
)

// sum is the Internet checksum (RFC 1071), done slowly.
func sum(b []byte) uint16 {
	var n uint64
	for i := 0; i < len(b); i += 2 {
		n += uint64(b[i])<<8 | uint64(b[i+1])
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}

func TestRequest(t *testing.T) {
	for n := range 1 << 16 {
		b := request(uint16(n))
		if sum(b[:]) != 0 {
			t.Fatalf("request %d has a wrong checksum: % x", n, b[:8])
		}
		// What comes back is the same, but for its type, behind an IPv4 header.
		b[0] = 0
		if got, ok := reply(append(append([]byte{0x45}, make([]byte, 19)...), b[:]...)); !ok || got != uint16(n) {
			t.Fatalf("the answer to %d is that to %d, %v", n, got, ok)
		}
	}
}

func TestReply(t *testing.T) {
	b := request(7)
	icmp := func(change func([]byte)) []byte {
		c := append(append([]byte{0x46}, make([]byte, 23)...), b[:]...) // a header with options
		c[24] = 0
		change(c[24:])
		return c
	}
	for name, c := range map[string]struct {
		packet []byte
		ok     bool
	}{
		"an answer":          {icmp(func([]byte) {}), true},
		"a request":          {icmp(func(c []byte) { c[0] = 8 }), false},
		"a code":             {icmp(func(c []byte) { c[1] = 1 }), false},
		"another's":          {icmp(func(c []byte) { c[4]++ }), false},
		"nothing":            {nil, false},
		"cut":                {icmp(func([]byte) {})[:24+7], false},
		"a header cut":       {[]byte{0x4f, 0}, false},
		"as short as can be": {icmp(func([]byte) {})[:24+8], true},
	} {
		if n, ok := reply(c.packet); ok != c.ok || ok && n != 7 {
			t.Errorf("%s: number %d, %v", name, n, ok)
		}
	}
}

func TestStamp(t *testing.T) {
	for _, b := range [][]byte{nil, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 32)} {
		if at, err := stamp(b); err == nil {
			t.Errorf("% x is the time %d", b, at)
		}
	}
}

// pulsed is a stage with a service's address answered by the backends' host, which can
// be silenced.
func pulsed(t *testing.T) *stage {
	s := scenery(t)
	if err := s.hold(vip); err != nil {
		t.Fatal(err)
	}
	client := s.lab.Clients[0].Netlink()
	link, err := client.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	r := route(link.Attrs().Index, vip, lab.BackendAddr(0))
	if err := client.RouteAdd(r); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPulse gathers answers, and losses, while it is told to.
func TestPulse(t *testing.T) {
	s := pulsed(t)
	p, err := s.newPulse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	samples := func(n int) func() error {
		return func() error {
			for range n {
				if err := p.boundary(t.Context()); err != nil {
					return err
				}
			}
			return nil
		}
	}
	well, lost, after := newTimes(), newTimes(), newTimes()
	if err := p.record(t.Context(), well, samples(4)); err != nil {
		t.Fatal(err)
	}
	if n, k := well.worker.TotalCount(), well.kernel.TotalCount(); n == 0 || k == 0 || well.lost != 0 || well.worker.Min() <= 0 {
		t.Errorf("%d and %d answers, %d lost, the fastest took %d ns", n, k, well.lost, well.worker.Min())
	}
	if most := int64(2 * echoRate); well.worker.TotalCount() > most {
		t.Errorf("%d answers in a second: more than were to be asked for", well.worker.TotalCount())
	}
	before := well.worker.TotalCount()

	if err := s.silence.of(vip); err != nil {
		t.Fatal(err)
	}
	err = p.record(t.Context(), lost, func() error {
		for lost.lostYet(p) == 0 {
			if err := p.boundary(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(lost.worker.Max()); lost.lost == 0 || got < tooLate || lost.kernel.Max() >= tooLate.Nanoseconds() {
		t.Errorf("silenced: %d lost, the worst took %v, of the kernel's %v", lost.lost, got, time.Duration(lost.kernel.Max()))
	}
	if well.worker.TotalCount() != before {
		t.Error("answers were gathered after the end")
	}

	broken := errors.New("broken")
	if err := p.record(t.Context(), after, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a function that fails: %v", err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if err := p.record(t.Context(), after, func() error { return nil }); err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// lostYet reads it while samples come.
func (t *times) lostYet(p *pulse) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.lost
}

func TestPulseErrors(t *testing.T) {
	s := scenery(t)
	s.place.rest = nil // no CPU is left for it
	if _, err := s.newPulse(t.Context()); err == nil || !strings.Contains(err.Error(), "pin") {
		t.Errorf("without CPUs: %v", err)
	}
	var p pulse
	if err := p.file(sampleOf("worker", "no histogram")); err == nil {
		t.Error("a sample without histograms was filed")
	}
	if err := SendEcho(json.RawMessage("{"), child.NewOut(&bytes.Buffer{})); err == nil {
		t.Error("half a task was done")
	}
	e, err := newEchoes(&Echo{To: map[string]netip.Addr{"nobody": netip.MustParseAddr("0.0.0.0")}, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	if e.gap != time.Second {
		t.Errorf("one request a second to one: every %v", e.gap)
	}
}

package engine

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/fragment"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// later moves the clocks of all workers on.
func (h *harness) later(d time.Duration) {
	for _, w := range h.engine.workers {
		w.clock.start = w.clock.start.Add(-d)
	}
}

const patience = (fragment.Lifetime + 1) * time.Millisecond

// What is held is counted when its fate is known, and then once.
func TestHeldIsCountedOnce(t *testing.T) {
	h := newHarness(t, 2, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	in := big(client4, "192.0.2.10:53", 3000, 1)
	list := cut(in)
	h.passRaw(0, list[1:]...)
	if n := h.engine.workers[0].count; n.Received != 0 || n.ReceivedBytes != 0 || h.engine.fragments.Held() != 2 {
		t.Errorf("received %d, of %d bytes; %d are held", n.Received, n.ReceivedBytes, h.engine.fragments.Held())
	}
	h.passRaw(1, list[0])
	total := len(bytes.Join(list, nil))
	if n := h.engine.workers[1].count; n.Received != 3 || n.ReceivedBytes != uint64(total) || n.Verdicts[packet.Forwarded] != 3 {
		t.Errorf("received %d, of %d bytes, want %d: %v", n.Received, n.ReceivedBytes, total, h.verdicts(1))
	}
	// One that nobody comes for is counted where its time is found to be over.
	again := cut(big(client4, "192.0.2.10:53", 3000, 2))
	h.passRaw(0, again[1])
	w := h.engine.workers[1]
	w.expire()
	if w.count.Verdicts[packet.DropOrphan] != 0 {
		t.Error("an orphan before its time")
	}
	h.later(patience)
	w.expire()
	h.check(1)
	if w.count.Verdicts[packet.DropOrphan] != 1 || h.engine.fragments.Held() != 0 {
		t.Errorf("%v, %d are held", h.verdicts(1), h.engine.fragments.Held())
	}
	// Its first one finds nothing then, and goes alone.
	if out := h.passRaw(0, again[0]); len(out) != 1 {
		t.Errorf("%d packets came out", len(out))
	}
}

// When strangers have more fragments held than there is room for, each is counted.
func TestEvictedAreCounted(t *testing.T) {
	h := newHarness(t, 1, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	const n = 6000
	for i := range uint16(n) {
		h.passRaw(0, cut(big(client4, "192.0.2.10:53", 1500, i))[1])
	}
	w := h.engine.workers[0]
	if w.count.Verdicts[packet.DropOverflow] == 0 || w.count.Received+uint64(h.engine.fragments.Held()) != n {
		t.Errorf("%v, %d are held", h.verdicts(0), h.engine.fragments.Held())
	}
	in := big(client4, "192.0.2.10:53", 3000, n)
	list := cut(in)
	slices.Reverse(list)
	if got := assembled(t, h.passRaw(0, list...)); !bytes.Equal(got.Payload, in.Payload) {
		t.Error("a datagram in the midst of that is spoiled")
	}
	h.later(patience)
	w.expire()
	h.check(0)
	if h.engine.fragments.Held() != 0 || w.count.Received != n+3 {
		t.Errorf("received %d; %d are held", w.count.Received, h.engine.fragments.Held())
	}
}

// More fragments than a batch has room for, or than there are frames free, come in turn.
func TestManyAreReadyAtOnce(t *testing.T) {
	h := newHarness(t, 2, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	in := big(client4, "192.0.2.10:53", 40_000, 1)
	list := packettest.Fragments(in.Bytes(), 0, 256)
	h.passRaw(0, list[1:]...)
	if n := h.engine.fragments.Held(); n != len(list)-1 || n <= batchSize {
		t.Fatalf("%d are held", n)
	}
	k, w := h.kernels[1], h.engine.workers[1]
	w.socket.Recycle()
	k.Deliver(list[0])
	var out [][]byte
	for range len(list) {
		if _, err := w.pass(); err != nil {
			t.Fatal(err)
		}
		out = append(out, k.Sent()...)
		w.socket.Recycle()
		h.check(1)
	}
	if got := assembled(t, out); !bytes.Equal(got.Payload, in.Payload) {
		t.Error("it became another packet")
	}
}

// A port that is never without packets, by the batch, keeps no fragment waiting that may go.
func TestHeldComesThroughABusyPort(t *testing.T) {
	h := newSizedHarness(t, 2, 1000, 256, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	in := big(client4, "192.0.2.10:53", 5000, 1)
	list := cut(in)
	h.passRaw(0, list[1:]...)
	k, w := h.kernels[1], h.engine.workers[1]
	w.socket.Recycle()
	k.Deliver(list[0])
	busy := packettest.UDP("198.51.100.8:40000", "192.0.2.10:53", "busy").Bytes()
	var out [][]byte
	for range 4 {
		for range 2 * batchSize {
			k.Deliver(busy)
		}
		if n, err := w.pass(); err != nil || n != batchSize {
			t.Fatalf("a batch of %d, %v", n, err)
		}
		for _, b := range k.Sent() {
			if len(b) != len(busy) {
				out = append(out, b)
			}
		}
		w.socket.Recycle()
	}
	if got := assembled(t, out); !bytes.Equal(got.Payload, in.Payload) {
		t.Error("it became another packet")
	}
}

// What can't be received once more, since its port is away, is in nobody's way, however busy
// the other ports are.
func TestHeldOfAPortThatIsAway(t *testing.T) {
	h := newHarness(t, 1, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	w := h.engine.workers[0]
	copy(w.parts.Ready.Push(100, 7), make([]byte, 100))
	list := cut(big(client4, "192.0.2.10:53", 3000, 1))
	slices.Reverse(list)
	h.passRaw(0, list...)
	w.expire() // as between two batches
	if _, err := w.pass(); err != nil {
		t.Fatal(err)
	}
	h.check(0)
	if n := h.verdicts(0); n["forwarded"] != 3 || n["link-down"] != 1 {
		t.Errorf("verdicts %v", n)
	}
}

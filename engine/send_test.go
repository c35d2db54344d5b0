package engine

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
)

// burst delivers so many packets of known flows for a worker that has not run yet.
func (h *harness) burst(queue, n int) {
	h.t.Helper()
	h.engine.workers[queue].socket.Recycle()
	for i := range n {
		f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+i), vip4, packet.TCPSyn)
		if !h.kernels[queue].Deliver(f.Bytes()) {
			h.t.Fatalf("the fake kernel took %d of %d packets", i, n)
		}
	}
}

// What does not fit on the TX ring is dropped, with the reason why it is full.
func TestTransmitRingIsFull(t *testing.T) {
	const ring = 64
	t.Run("the kernel is slow", func(t *testing.T) {
		h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
		w, k := h.engine.workers[0], h.kernels[0]
		k.Answer(unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS)
		for range 2 {
			h.burst(0, ring)
			if n, err := w.pass(); n != ring || err != nil {
				t.Fatalf("pass: %d packets, %v", n, err)
			}
			h.check(0)
		}
		if got := h.verdicts(0); got["forwarded"] != ring || got["tx-full"] != ring {
			t.Errorf("verdicts %v, want %d forwarded and %d dropped for the full ring", got, ring, ring)
		}
		if sent := h.pass(0, packettest.TCP(client4, vip4, packet.TCPSyn)); len(sent) != ring+1 {
			t.Errorf("%d packets left when the kernel was well again, want %d", len(sent), ring+1)
		}
	})
	t.Run("the link is down", func(t *testing.T) {
		h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
		w, k := h.engine.workers[0], h.kernels[0]
		for range 2 {
			h.burst(0, ring)
			k.SetDown(true)
			if n, err := w.pass(); n != ring || !errors.Is(err, xsk.ErrLinkDown) {
				t.Fatalf("pass: %d packets, %v", n, err)
			}
			k.SetDown(false)
			h.check(0)
		}
		if got := h.verdicts(0); got["forwarded"] != ring || got["link-down"] != ring {
			t.Errorf("verdicts %v, want %d forwarded and %d dropped for the link", got, ring, ring)
		}
		if err := w.rest(); err != nil || k.SentCount() != ring {
			t.Errorf("%d packets left when the link was back, want %d; %v", k.SentCount(), ring, err)
		}
		h.check(0)
	})
}

// An interface that drops singly, or takes a few packets a call, loses no frame.
func TestSlowInterface(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
	k := h.kernels[0]
	for round := range 20 {
		k.SetBudget(1 + round)
		k.Drop(round % 3)
		k.Hold(round%4 == 3)
		h.burst(0, 20)
		h.passRaw(0) // no more than that
		if _, err := h.engine.workers[0].pass(); err != nil {
			t.Fatal(err)
		}
		h.check(0)
	}
}

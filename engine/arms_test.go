package engine

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// A worker that one interface keeps busy, so that it never comes to the end of a sleep, finds out
// that another one is gone, and has its frames back.
func TestBusyWorkerLosesAnInterface(t *testing.T) {
	h := newPorts(t, 1, false, service("web", vip4, balancer.NAT, 1))
	w := h.engine.workers[0]
	w.cpu, w.sleep = -1, time.Hour
	r := &running{harness: h.harness}
	r.start()
	defer func() {
		r.stop()
		h.kernels[0].Deliver([]byte{0}) // which ends its last sleep
		must(t, r.end())
	}()
	echo := packettest.Echo("198.51.100.7", "192.0.2.10", 7).Bytes()
	filled := func() uint32 {
		h.kernels[0].Deliver(echo)
		in := h.engine.Info()
		if in.Total.Verdicts[packet.Replied] == 0 {
			return 0
		}
		return in.Workers[0].Frames.Filled
	}
	eventually(t, "frames for both interfaces", func() bool { return filled() == 2*64 })
	h.inner[0].Remove()
	eventually(t, "frames for one alone", func() bool { return filled() == 64 })
}

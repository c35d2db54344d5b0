package engine

import (
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// Where workers run that come later: on what was named for them, else on CPUs that are
// left, else anywhere.
func TestWhereNewcomersRun(t *testing.T) {
	for name, c := range map[string]struct {
		named, allowed []int
		counts         []int // of queues, one after the other
		want           []int
	}{
		"CPUs are left":         {nil, []int{0, 1, 2, 3}, []int{1, 3}, []int{3, 2, 1}},
		"too many for the CPUs": {nil, []int{0, 1}, []int{1, 4}, []int{1, -1, -1, -1}},
		"from the start":        {nil, []int{0, 1}, []int{3}, []int{-1, -1, -1}},
		"beyond those named":    {[]int{5, 4}, []int{0, 4, 5}, []int{2, 3}, []int{5, 4, -1}},
		"fewer, and more again": {nil, []int{0, 1, 2}, []int{2, 1, 3}, []int{2, 1, 0}},
	} {
		e, err := New(Config{Interfaces: []string{"eth0"}, MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: balancer.NewLoads()})
		if err != nil {
			t.Fatal(err)
		}
		e.allowed, e.config.CPUs = c.allowed, c.named
		for _, n := range c.counts {
			queues, err := Queues(false, nil, n)
			if err != nil {
				t.Fatal(err)
			}
			e.recruit(queues)
		}
		if got := cpusOf(e.all()); !slices.Equal(got, c.want) {
			t.Errorf("%s: on CPUs %v, want %v", name, got, c.want)
		}
	}
}

// grow gives the harness's engine one more worker, with a kernel of its own, as Extend
// does on a real interface.
func (h *harness) grow() {
	h.t.Helper()
	n := len(h.kernels) + 1
	queues, err := Queues(false, nil, n)
	if err != nil {
		h.t.Fatal(err)
	}
	h.engine.recruit(queues)
	h.kernels = append(h.kernels, xsktest.New(256, 2048, 64))
	must(h.t, h.engine.hand(leaseOf(append(slices.Clone(h.engine.lease.ports[0].sockets), h.kernels[n-1].Socket()))))
}

// Workers that come while the others work are started, and share the flows.
func TestWorkersJoin(t *testing.T) {
	r := run(t, 1)
	r.deliver(0, 10)
	for queue := 1; queue < 4; queue++ {
		r.grow()
		r.deliver(queue, 10)
	}
	eventually(t, "all that was received", func() bool { return r.engine.Info().Total.Received == 40 })
	for i, w := range r.engine.Info().Workers {
		if w.Queue != i || w.Counters.Received != 10 {
			t.Errorf("worker %d: %+v", i, w)
		}
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Error(err)
	}
	for i := range r.kernels {
		r.check(i)
	}
}

// What a worker that has come later may be looking at is not used again before it has done
// with it.
func TestRecordsWaitForNewcomers(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	h.grow()
	flows := h.engine.flows
	flows.Grace.Quiescent(1)
	flowOf := func(client string) conntrack.Ref {
		f := packettest.TCP(client, vip4, packet.TCPSyn)
		h.one(0, f)
		r, ok := flows.Find(&packet.Key{
			Src: packet.AddrFrom(f.Src.Addr()), Dst: packet.AddrFrom(f.Dst.Addr()), SrcPort: f.Src.Port(), DstPort: f.Dst.Port(), Proto: packet.ProtoTCP,
		}, conntrack.Request)
		if !ok {
			t.Fatalf("no flow of %s", client)
		}
		return r
	}
	gone := flowOf(packetClient(0, 0))
	flows.Remove(gone)
	flows.Grace.Quiescent(0)
	if flowOf(packetClient(0, 1)) == gone {
		t.Error("a record is used again while the newcomer may look at it")
	}
	flows.Grace.Quiescent(1)
	if flowOf(packetClient(0, 2)) != gone {
		t.Error("a record is not used again")
	}
}

// A worker without a queue still counts for what it did; and what it counted for a
// backend does not count for the one that has its ID later.
func TestRestingWorkersCount(t *testing.T) {
	h := newHarness(t, 2, service("web", vip4, balancer.NAT, 2))
	for queue := range 2 {
		for i := range 4 {
			f := packettest.TCP(packetClient(queue, i), vip4, packet.TCPSyn)
			h.one(queue, f)
		}
		h.engine.workers[queue].publish()
	}
	must(t, h.engine.hand(leaseOf(h.engine.lease.ports[0].sockets[:1])))
	in := h.engine.Info()
	if len(in.Workers) != 1 || in.Total.Received != 8 || in.Workers[0].Counters.Received != 4 {
		t.Errorf("%d workers, %d received, %d of them by the first", len(in.Workers), in.Total.Received, in.Workers[0].Counters.Received)
	}
	if in.Workers[0].Frames.Total() != 256 {
		t.Errorf("frames %+v", in.Workers[0].Frames)
	}
	if sum := h.engine.Traffic([]uint32{0, 1}); sum[0].Flows+sum[1].Flows != 8 {
		t.Errorf("flows of the backends: %+v", sum)
	}
	// b's ID goes to another backend.
	next := *h.engine.table.Load()
	next.Generation++
	next.Keys = slices.Clone(next.Keys)
	next.Keys[1].Port++
	if err := h.engine.Apply(&next, nil); err != nil {
		t.Fatal(err)
	}
	sum := h.engine.Traffic([]uint32{0, 1})
	if sum[0].Flows != 4 || sum[1].Flows != 2 { // of worker 0, which has not come to the new table yet
		t.Errorf("after the ID changed hands: %+v", sum)
	}
	if h.engine.Info().Total.Received != 8 {
		t.Error("the packets are forgotten")
	}
	if got := h.engine.workers[1].account(); got != (xsk.Account{}) {
		t.Errorf("a worker without a socket has frames: %+v", got)
	}
}

func packetClient(queue, i int) string {
	return "198.51.100." + string(rune('1'+queue)) + ":4000" + string(rune('0'+i))
}

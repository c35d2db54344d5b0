package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// running is a harness whose workers run by themselves.
type running struct {
	*harness
	stop  context.CancelFunc
	ended chan error
	n     int // flows so far
}

func run(t *testing.T, workers int, prepare ...func(*Engine)) *running {
	t.Helper()
	r := &running{harness: newHarness(t, workers, service("web", vip4, balancer.NAT, 3))}
	for _, w := range r.engine.workers {
		w.cpu = -1 // the test's threads stay where they are
	}
	for _, f := range prepare {
		f(r.engine)
	}
	r.start()
	t.Cleanup(func() {
		r.stop()
		goleak.VerifyNone(t)
	})
	return r
}

func (r *running) start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan error, 1)
	go func() { r.ended <- r.engine.Run(ctx) }()
}

// end waits for the end of the run.
func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(30 * time.Second):
		r.t.Fatal("the workers don't stop")
		return nil
	}
}

// eventually waits for what no event tells: the workers publish, and tell nobody.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never seen", what)
		}
	}
}

// deliver sends n packets of new flows in on the queue, and waits until all are out.
func (r *running) deliver(queue, n int) {
	r.t.Helper()
	k := r.kernels[queue]
	want := k.SentCount() + uint64(n)
	for range n {
		f := packettest.TCP(fmt.Sprintf("198.51.%d.%d:%d", 100+queue, r.n%250, 1000+r.n/250), vip4, packet.TCPSyn)
		b := f.Bytes()
		eventually(r.t, "room for a packet", func() bool { return k.Deliver(b) })
		r.n++
	}
	eventually(r.t, "the packets' departure", func() bool { return k.SentCount() == want })
}

func TestRun(t *testing.T) {
	r := run(t, 2)
	for queue := range r.kernels {
		r.kernels[queue].Record(false)
	}
	for range 3 {
		r.deliver(0, 100)
		r.deliver(1, 50)
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	in := r.engine.Info()
	if in.Total.Received != 450 || in.Total.Verdicts[packet.Forwarded] != 450 || in.Flows.Inserted != 450 {
		t.Errorf("after the end: %d received, %d forwarded, %d flows", in.Total.Received, in.Total.Verdicts[packet.Forwarded], in.Flows.Inserted)
	}
	for i, want := range []uint64{300, 150} {
		if got := in.Workers[i].Counters.Received; got != want {
			t.Errorf("worker %d received %d, want %d", i, got, want)
		}
		r.check(i)
	}
}

// What a worker publishes adds up, whenever it is read.
func TestPublishedCountersAddUp(t *testing.T) {
	r := run(t, 2)
	var readers sync.WaitGroup
	reading, done := context.WithCancel(context.Background())
	for range 2 {
		readers.Go(func() {
			for last := uint64(0); reading.Err() == nil; {
				in := r.engine.Info()
				var sum, backends uint64
				for v, n := range in.Total.Verdicts {
					if sum += n; packet.Verdict(v) == packet.Pending && n != 0 {
						t.Errorf("%d packets are pending", n)
					}
				}
				for _, b := range r.engine.Traffic([]uint32{0, 1, 2, 99}) {
					backends += b.Packets[conntrack.Request]
				}
				if sum != in.Total.Received || sum < last {
					t.Errorf("verdicts of %d packets, %d received, %d before", sum, in.Total.Received, last)
				}
				if later := r.engine.Info().Total.Received; backends < sum || backends > later {
					t.Errorf("%d packets for backends, when between %d and %d were received", backends, sum, later)
				}
				last = sum
			}
		})
	}
	var senders sync.WaitGroup
	for queue := range 2 {
		r.kernels[queue].Record(false)
		senders.Go(func() {
			// The same flows over and over, so that senders share nothing.
			f := packettest.TCP(fmt.Sprintf("198.51.100.%d:1000", queue), vip4, packet.TCPSyn).Bytes()
			for range 3000 {
				eventually(t, "room for a packet", func() bool { return r.kernels[queue].Deliver(f) })
			}
		})
	}
	senders.Wait()
	done()
	readers.Wait()
	eventually(t, "the last counters", func() bool { return r.engine.Info().Total.Received == 6000 })
}

// An idle worker sleeps, and a packet wakes it.
func TestIdleWorkerSleeps(t *testing.T) {
	r := run(t, 1)
	w := r.engine.workers[0]
	for round := range 3 {
		r.deliver(0, 1)
		// It publishes before it sleeps, so what is published of an idle one is exact.
		eventually(t, "the counters of an idle worker", func() bool { return r.engine.Info().Total.Received == uint64(round+1) })
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if w.count.Sleeps < 3 {
		t.Errorf("slept %d times between 3 packets", w.count.Sleeps)
	}
}

func TestBusyWorkerNeverSleeps(t *testing.T) {
	r := run(t, 1, func(e *Engine) { e.workers[0].busy = true })
	for round := range 3 {
		r.deliver(0, 1)
		eventually(t, "the counters of an idle worker", func() bool { return r.engine.Info().Total.Received == uint64(round+1) })
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if n := r.engine.workers[0].count.Sleeps; n != 0 {
		t.Errorf("slept %d times", n)
	}
}

// A worker without traffic must not hold back what waits for all workers: IDs that
// are to be used again.
func TestIdleWorkerTakesTables(t *testing.T) {
	r := run(t, 2)
	for range 3 {
		r.apply()
		want := r.engine.table.Load().Generation
		eventually(t, "the newest generation in use", func() bool { return r.engine.Oldest() == want })
	}
}

func TestIdleFlowsExpire(t *testing.T) {
	loads := balancer.NewLoads()
	r := run(t, 1, func(e *Engine) {
		e.flows = conntrack.New(conntrack.Config{MaxFlows: 100, Workers: 1, Timeouts: conntrack.Timeouts{}, Loads: loads})
		e.workers[0].flows = e.flows
	})
	r.deliver(0, 20)
	eventually(t, "an empty table", func() bool { s := r.engine.flows.Stats(); return s.Expired == 20 && s.Total() == 0 })
}

func TestInterfaceGone(t *testing.T) {
	r := run(t, 2)
	r.deliver(0, 5)
	r.kernels[1].Remove()
	err := r.end()
	if !errors.Is(err, xsk.ErrGone) || !strings.Contains(fmt.Sprint(err), "queue 1") {
		t.Errorf("Run: %v, want that queue 1 is gone", err)
	}
}

// Flows and counters outlive the sockets.
func TestRunAgain(t *testing.T) {
	r := run(t, 1)
	in := packettest.TCP(client4, vip4, packet.TCPSyn)
	send := func() string {
		t.Helper()
		k := r.kernels[0]
		before := k.SentCount()
		if !k.Deliver(in.Bytes()) {
			t.Fatal("not delivered")
		}
		eventually(t, "the packet", func() bool { return k.SentCount() == before+1 })
		return packettest.Verify(t, k.Sent()[0]).Dst.String()
	}
	first := send()
	r.kernels[0].Remove()
	if err := r.end(); !errors.Is(err, xsk.ErrGone) {
		t.Fatal(err)
	}
	if err := r.engine.Release(); err != nil {
		t.Error(err)
	}
	if in := r.engine.Info(); in.Total.Received != 1 || in.Ports[0].Sockets != nil || in.Ports[0].Attached != "" {
		t.Errorf("while away: %+v", in.Workers[0])
	}
	if err := r.engine.Release(); err != nil {
		t.Errorf("released twice: %v", err)
	}
	r.kernels[0] = xsktest.New(64, 2048, 16)
	r.plug()
	r.start()
	if again := send(); again != first {
		t.Errorf("the flow went to %s, and after the interface's return to %s", first, again)
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if in := r.engine.Info(); in.Total.Received != 2 || in.Flows.Inserted != 1 {
		t.Errorf("%d packets, %d flows in both runs", in.Total.Received, in.Flows.Inserted)
	}
}

// Who gives an order, or has the workers stop, does not wait for the end of their sleep: here
// it is so long that the test would not live to see it.
func TestOrdersWakeSleepers(t *testing.T) {
	r := run(t, 2, func(e *Engine) {
		l := e.lease.clone()
		var err error
		l.alarm, err = xsk.NewAlarm()
		must(t, err)
		must(t, e.hand(l))
		for _, w := range e.workers {
			w.sleep = time.Hour
		}
	})
	for round := range 3 {
		r.deliver(0, 1)
		r.deliver(1, 1)
		// They publish before they sleep.
		eventually(t, "the counters of idle workers", func() bool { return r.engine.Info().Total.Received == uint64(2*(round+1)) })
		taken := make(chan error, 1)
		go func() { taken <- r.engine.hand(r.engine.lease.clone()) }()
		select {
		case err := <-taken:
			must(t, err)
		case <-time.After(30 * time.Second):
			t.Fatal("an order is not taken")
		}
	}
	r.stop()
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if err := r.engine.Release(); err != nil {
		t.Error(err)
	}
}

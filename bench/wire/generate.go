package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/packet"
)

// Load is what the generator sends.
type Load struct {
	Family traffic.Family
	First  int     // number of the first flow
	Flows  int     // how many
	InTurn bool    // one flow after the other, over and over, rather than any
	Rate   float64 // packets per second; 0: as many as it can
	Window int     // under way at most, from a generator; 0: any number
	// Answer has the backends answer each packet, so that connections are seen from both
	// sides. An answered packet is under way until its answer is back.
	Answer bool
}

const (
	// frames is how many a call of the kernel makes: each call is idle for some 30 ms,
	// so they are few.
	frames = 1 << 24
	// batch is how many frames are on their way together.
	batch = 64
)

// run is a generator at work.
type run struct {
	stopped atomic.Bool
	threads []*thread
}

// thread is a thread that generates.
type thread struct {
	id    int
	ended chan struct{}
	err   error // after ended
}

// Start starts the generator; Stop must follow.
func (w *Wire) Start(l Load) error {
	if w.running != nil {
		return errors.New("start the generator: it is running")
	}
	length, err := w.set(l)
	if err == nil {
		err = w.expect(l.Answer)
	}
	if err != nil {
		return fmt.Errorf("start the generator: %w", err)
	}
	r := &run{}
	w.running = r
	for _, cpu := range w.options.Load {
		t := &thread{ended: make(chan struct{})}
		started := make(chan struct{})
		go func() {
			defer close(t.ended)
			t.err = w.Generator.Do(func() error { return w.generate(t, started, &r.stopped, cpu, length) })
		}()
		select {
		case <-started:
			r.threads = append(r.threads, t)
		case <-t.ended:
			return errors.Join(fmt.Errorf("start the generator: %w", t.err), w.Stop())
		}
	}
	return nil
}

// client is the MAC address that clients' frames come from: not that of the backends, or a
// balancer would take them for its own, come back.
func (w *Wire) client() net.HardwareAddr {
	mac := slices.Clone(w.far.mac)
	mac[5] ^= 0x80
	return mac
}

// set tells the programs what to generate, and returns the frames' length.
func (w *Wire) set(l Load) (int, error) {
	load := wireLoad{Ifindex: uint32(w.far.index), Flows: uint32(l.First + l.Flows), Window: uint32(l.Window)}
	frame := load.Frame[:]
	length := traffic.NewRequest(l.Family, packet.TCPAck, traffic.Smallest).Write(frame, 0)
	copy(frame, w.near.mac)
	copy(frame[6:], w.client())

	if l.Family == traffic.IPv6 {
		load.Ipv6 = 1
	}
	if l.InTurn {
		load.InTurn = 1
	}
	n := w.options.Queues
	if l.Rate > 0 {
		load.Interval = uint32(1e9 * float64(n) / l.Rate)
	}
	if err := w.objects.Loads.Update(uint32(0), &load, ebpf.UpdateAny); err != nil {
		return 0, fmt.Errorf("set the load: %w", err)
	}
	var states []wireGenerator
	if err := w.objects.Generators.Lookup(uint32(0), &states); err != nil {
		return 0, fmt.Errorf("read the generators' states: %w", err)
	}
	var seen []wireSeen
	if err := w.objects.Sights.Lookup(uint32(0), &seen); err != nil {
		return 0, fmt.Errorf("read the sink's counters: %w", err)
	}
	for i, cpu := range w.options.Load {
		s := &states[cpu]
		s.Due, s.Turn, s.First, s.Step = 0, 0, uint32(l.First+i), uint32(n)
		s.Random = max(s.Random, uint32(cpu)+1) // anything but zero
		s.Lost = s.Sent - seen[cpu].Packets     // nothing is under way
	}
	if err := w.objects.Generators.Update(uint32(0), states, ebpf.UpdateAny); err != nil {
		return 0, fmt.Errorf("set the generators' states: %w", err)
	}
	return length, nil
}

// generate generates on a CPU until it is stopped.
func (w *Wire) generate(t *thread, started chan<- struct{}, stopped *atomic.Bool, cpu, length int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := settle(cpu)
	if err != nil {
		return fmt.Errorf("put the generator on CPU %d: %w", cpu, err)
	}
	defer home()
	t.id = unix.Gettid()
	close(started)
	for !stopped.Load() {
		if err := runLive(w.objects.Generate.FD(), length, frames, batch); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("generate frames (BPF_PROG_TEST_RUN, Linux 5.18): %w", err)
		}
	}
	return nil
}

// settle puts the calling thread on a CPU, before the other processes there. The
// returned function undoes it.
func settle(cpu int) (home func(), err error) {
	var before, here unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	here.Set(cpu)
	if err := unix.SchedSetaffinity(0, &here); err != nil {
		return nil, err
	}
	id := unix.Gettid()
	home = func() {
		_ = unix.Setpriority(unix.PRIO_PROCESS, id, 0)
		_ = unix.SchedSetaffinity(id, &before)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, id, -20); err != nil {
		home()
		return nil, err
	}
	return home, nil
}

// Stop stops the generator.
func (w *Wire) Stop() error {
	r := w.running
	if r == nil {
		return nil
	}
	w.running = nil
	r.stopped.Store(true)
	var wait sync.WaitGroup
	for _, t := range r.threads {
		wait.Go(func() { t.interrupt() })
	}
	wait.Wait()
	var errs []error
	for _, t := range r.threads {
		errs = append(errs, t.err)
	}
	return errors.Join(errs...)
}

// interrupt ends the thread's call by a signal that the Go runtime expects at any time,
// and again, should it have come before the call.
func (t *thread) interrupt() {
	for {
		_ = unix.Tgkill(os.Getpid(), t.id, unix.SIGURG)
		select {
		case <-t.ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

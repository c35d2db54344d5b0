package wire

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf/link"

	"github.com/afxlb/afxlb/internal/lab"
)

// Options say how a wire is made.
type Options struct {
	Queues  int   // in each direction; 0: one
	Receive []int // CPU of the balancer's receiving thread, by queue
	Load    []int // CPU of the generator and of the sink's thread, by queue
}

// Wire is a generator, a veth and a balancer's interface, which is lab.Interface, as is
// the far end. Its methods are for one goroutine. Close must be called.
type Wire struct {
	Generator, Balancer *lab.Host

	options   Options
	far, near end
	objects   wireObjects
	sink      link.Link
	sample    uint32 // see Sample
	running   *run   // of the generator, or nil
}

// end is one end of the veth.
type end struct {
	host    *lab.Host
	index   int
	mac     net.HardwareAddr
	threads []int // ids of the kernel's threads that receive, by queue
}

// New makes a wire.
func New(o Options) (w *Wire, err error) {
	o.Queues = max(o.Queues, 1)
	if len(o.Receive) != o.Queues || len(o.Load) != o.Queues {
		return nil, fmt.Errorf("make a wire of %d queues: there are CPUs for %d and %d threads", o.Queues, len(o.Receive), len(o.Load))
	}
	w = &Wire{options: o}
	defer func() {
		if err != nil {
			err = fmt.Errorf("make a wire: %w", errors.Join(err, w.Close()))
			w = nil
		}
	}()
	if w.Generator, err = lab.NewHost("generator"); err != nil {
		return w, err
	}
	if w.Balancer, err = lab.NewHost("balancer"); err != nil {
		return w, err
	}
	if err := lab.Connect(w.Generator, lab.Interface, w.Balancer, lab.Interface, o.Queues); err != nil {
		return w, err
	}
	if w.far, err = newEnd(w.Generator, o.Load); err != nil {
		return w, err
	}
	if err := moderate(w.Generator); err != nil {
		return w, err
	}
	if w.near, err = newEnd(w.Balancer, o.Receive); err != nil {
		return w, err
	}
	if err := w.address(); err != nil {
		return w, err
	}
	return w, w.attach()
}

// newEnd has an end of the veth receive by threads on these CPUs, one a queue.
func newEnd(h *lab.Host, cpus []int) (end, error) {
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		return end{}, fmt.Errorf("find %s of %s: %w", lab.Interface, h.Name, err)
	}
	e := end{host: h, index: l.Attrs().Index, mac: l.Attrs().HardwareAddr}
	if e.threads, err = h.ReceiveByThreads(lab.Interface); err != nil {
		return e, err
	}
	if len(e.threads) != len(cpus) {
		return e, fmt.Errorf("%d threads receive for %s, one a queue would be %d", len(e.threads), h.Name, len(cpus))
	}
	return e, e.place(cpus, true)
}

// Close takes everything down, what was started on the hosts included.
func (w *Wire) Close() error {
	var errs []error
	if w.running != nil {
		errs = append(errs, w.Stop())
	}
	if w.sink != nil {
		errs = append(errs, w.sink.Close(), w.objects.Close())
	}
	for _, h := range []*lab.Host{w.Balancer, w.Generator} {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

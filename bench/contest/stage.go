package contest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/internal/lab"
)

// arrival is how packets come to the balancer's CPU.
type arrival int

const (
	// interrupts: the switch hands each packet for the balancer to the balancer's CPU,
	// which it interrupts, as a NIC does. On a veth the sender's CPU would do the
	// balancer's work in the kernel, and no interrupt would be in the latency.
	interrupts arrival = iota
	// threads: a thread of the kernel receives, so that its CPU time can be told from
	// everybody else's.
	threads
)

// stage is a lab with one contender between the client and the server.
type stage struct {
	contender *Contender
	place     place
	lab       *lab.Lab
	running   peer.Running // nil: nobody
	threads   []int        // of the kernel that receive for the balancer

	stopServer context.CancelFunc
	served     chan error
}

// newStage builds all of it. The caller closes it.
func newStage(ctx context.Context, c *Contender, p place, a arrival) (s *stage, err error) {
	s = &stage{contender: c, place: p, served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.lab, err = lab.New(lab.Options{VIPs: []netip.Addr{held}}); err != nil {
		return s, err
	}
	for _, h := range []*lab.Host{s.lab.Clients[0], s.lab.Backends[0]} {
		if err := peer.TuneEndpoint(h); err != nil {
			return s, err
		}
	}
	if err := s.serve(ctx); err != nil {
		return s, err
	}
	if c.start == nil {
		return s, s.leaveOut()
	}
	if err := s.steer(a); err != nil {
		return s, err
	}
	if s.running, err = c.start(ctx, s.lab.Balancer, c.services(), p.balancer); err != nil {
		return s, err
	}
	if a == threads {
		s.threads, err = receiveByThreads(s.lab.Balancer, p.balancer)
	}
	return s, err
}

// leaveOut has the client send straight to the server: nothing is between but the
// switch.
func (s *stage) leaveOut() error {
	h := s.lab.Clients[0]
	link, err := h.Netlink().LinkByName(lab.Interface)
	if err == nil {
		err = h.Netlink().RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(held.AsSlice()), Gw: lab.BackendAddr(0).AsSlice()})
	}
	if err != nil {
		return fmt.Errorf("route the client past the balancer: %w", err)
	}
	return nil
}

// steer has each packet handled on the CPU of who gets it, by RPS (the kernel's
// Documentation/networking/scaling.rst): those that come from the ends on the
// balancer's, those that come from the balancer on the ends'. With one port a host, that
// is all traffic.
func (s *stage) steer(a arrival) error {
	cpus := map[string][]int{"to-balancer": s.place.ends}
	if a == interrupts {
		cpus["to-client0"], cpus["to-backend0"] = s.place.balancer, s.place.balancer
	}
	for port, list := range cpus {
		if err := s.lab.Switch.Sysfs("class/net/"+port+"/queues/rx-0/rps_cpus", mask(list)); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the server and waits until it listens.
func (s *stage) serve(ctx context.Context) error {
	ctx, s.stopServer = context.WithCancel(ctx)
	ready := make(chan struct{})
	go func() {
		s.served <- s.lab.Backends[0].Do(func() error {
			return child.Run(ctx, ends.ServerTask, ends.Server{Listen: listens(), CPUs: s.place.server}, func(string) { close(ready) }, nil)
		})
	}()
	select {
	case <-ready:
		return nil
	case err := <-s.served:
		s.served <- err
		return fmt.Errorf("start the server: %w", err)
	}
}

// ask has the client do a task.
func (s *stage) ask(ctx context.Context, t ends.Task) (found result.Sample, err error) {
	t.Server, t.CPUs = s.contender.address(), s.place.client
	err = s.lab.Clients[0].Do(func() error {
		return child.Run(ctx, ends.ClientTask, t, func(string) {}, func(got result.Sample) { found = got })
	})
	if err != nil {
		return found, fmt.Errorf("%s over %s: %w", t.Kind, t.Protocol, err)
	}
	return found, nil
}

// close ends all of it. A server or a contender that has not held out is an error.
func (s *stage) close() error {
	var errs []error
	if s.running != nil {
		errs = append(errs, s.running.Stop())
	}
	if s.stopServer != nil {
		s.stopServer()
		if err := <-s.served; !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("the server: %w", err))
		}
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}

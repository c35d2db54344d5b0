package control

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
)

// Routes come and go at this rate, as beside a BGP table, among so many prefixes.
const (
	changesPerSecond = 500
	prefixes         = 1000
)

// flood is routes of the balancer's host that change all the time. They are none of any
// backend's.
type flood struct {
	h       *netlink.Handle
	link    int
	changes int
}

// flooded changes routes while f runs, and returns how many it changed a second.
func (s *stage) flooded(ctx context.Context, f func() error) (rate float64, err error) {
	fl := &flood{h: s.lab.Balancer.Netlink()}
	l, err := fl.h.LinkByName(lab.Interface)
	if err != nil {
		return 0, fmt.Errorf("find %s of %s: %w", lab.Interface, s.lab.Balancer.Name, err)
	}
	fl.link = l.Attrs().Index
	for i := range prefixes {
		if err := fl.h.RouteAdd(fl.route(i)); err != nil {
			return 0, fmt.Errorf("add a route: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- fl.run(ctx, begun) }()
	err = f()
	cancel()
	if e := <-ended; err == nil {
		err = e
	}
	rate = float64(fl.changes) / time.Since(begun).Seconds()
	for i := range prefixes {
		_ = fl.h.RouteDel(fl.route(i)) // every second one is gone
	}
	return rate, err
}

// run takes prefixes out and puts them in again, what is due by the clock.
func (f *flood) run(ctx context.Context, begun time.Time) error {
	for {
		for due := int(time.Since(begun).Seconds() * changesPerSecond); f.changes < due; f.changes++ {
			change, round := f.h.RouteDel, f.changes/prefixes
			if round%2 == 1 {
				change = f.h.RouteAdd
			}
			if err := change(f.route(f.changes % prefixes)); err != nil {
				return fmt.Errorf("change a route: %w", err)
			}
		}
		if pass(ctx, 2*time.Millisecond) != nil {
			return nil
		}
	}
}

// route returns that of the i-th prefix, by way of a host that is no backend.
func (f *flood) route(i int) *netlink.Route {
	return &netlink.Route{
		LinkIndex: f.link, Gw: lab.ClientAddr(0).AsSlice(),
		Dst: &net.IPNet{IP: net.IPv4(100, byte(64+i>>8), byte(i), 0).To4(), Mask: net.CIDRMask(24, 32)},
	}
}

// move gives the backends' host another MAC address, which it announces, and returns how
// long it takes until the control socket shows it.
func (s *stage) move(ctx context.Context, mac net.HardwareAddr) (time.Duration, error) {
	h := s.backends().Netlink()
	link, err := h.LinkByName(lab.Interface)
	begun := time.Now()
	if err == nil {
		err = h.LinkSetHardwareAddr(link, mac)
	}
	if err != nil {
		return 0, fmt.Errorf("change the MAC address of %s: %w", s.backends().Name, err)
	}
	return s.await(ctx, "a MAC address that has moved is shown", begun, 5*time.Millisecond, func(ctx context.Context) (bool, error) {
		list, err := s.api.Backends(ctx, serviceName(0))
		for _, b := range list {
			if b.MAC != mac.String() {
				return false, err
			}
		}
		return err == nil && len(list) > 0, err
	})
}

// moves moves it so many times.
func (s *stage) moves(ctx context.Context, n int) (took []time.Duration, err error) {
	for i := range n {
		t, err := s.move(ctx, net.HardwareAddr{0x02, 0xbe, 0, 0, 0, byte(i)})
		if err != nil {
			return nil, err
		}
		took = append(took, t)
	}
	return took, nil
}

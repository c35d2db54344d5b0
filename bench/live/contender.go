package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/forwarder"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/bench/wire"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// services are a TCP service of each family.
func services(dsr bool) (list []peer.Service) {
	for _, f := range []traffic.Family{traffic.IPv4, traffic.IPv6} {
		s := peer.Service{Protocol: "tcp", Address: netip.AddrPortFrom(f.Service(), traffic.Port), DSR: dsr}
		port := uint16(traffic.BackendPort)
		if dsr {
			port = traffic.Port
		}
		for i := range wire.Backends {
			s.Backends = append(s.Backends, netip.AddrPortFrom(f.Backend(i), port))
		}
		list = append(list, s)
	}
	return list
}

// maxFlows leaves a quarter of room above the most flows of any case.
const maxFlows = 1_250_000

// startAfxlb starts the daemon.
func (s *stand) startAfxlb(ctx context.Context, program string) error {
	d, err := peer.Afxlb{
		Program: program, Interface: lab.Interface, CPUs: s.place.balancer, Driver: s.first.driver(),
		Config: fmt.Sprintf("conntrack: {max-flows: %d}\n", maxFlows) + peer.AfxlbConfig(services(s.first.Mode == dsr)),
	}.Start(ctx, s.wire.Balancer)
	if err != nil {
		return err
	}
	s.running, s.daemon = d, d
	if s.first.Contender == watched {
		s.watch(ctx)
	}
	return d.Favour()
}

// forget takes the backends' MAC addresses from the daemon.
func (s *stand) forget(ctx context.Context) error {
	if err := s.wire.Forget(); err != nil {
		return err
	}
	return until(ctx, "afxlb has no way to its backends", func() (bool, error) {
		backends, err := s.daemon.API.Backends(ctx, "")
		known := slices.ContainsFunc(backends, func(b api.Backend) bool { return b.MAC != "" })
		return err == nil && !known, err
	})
}

// startNFT loads the ruleset.
func (s *stand) startNFT(ctx context.Context) (err error) {
	program, err := peer.NFT.Find()
	if err != nil {
		return err
	}
	if s.running, err = (peer.DNAT{Program: program, Services: services(false)}).Start(ctx, s.wire.Balancer); err != nil {
		return err
	}
	return s.wire.ReceiveOn(s.place.balancer, false)
}

// pmd is testpmd, which polls without end and must not while another is measured.
type pmd struct{ *peer.Process }

// startTestpmd starts DPDK's test program without what it needs on machines of its own:
// huge pages, PCI, a second process. Its defaults are a burst of 32 and rings of 2048.
func (s *stand) startTestpmd(ctx context.Context) error {
	program, err := peer.Testpmd.Find()
	if err != nil {
		return err
	}
	p, err := peer.Start(ctx, s.wire.Balancer, peer.Command{
		Program: program, Ready: peer.Says("testpmd>"),
		Args: []string{
			"--lcores", fmt.Sprintf("0@%d,1@%d", s.place.load[0], s.place.balancer[0]), "--main-lcore", "0",
			"--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry",
			"--vdev", "net_af_xdp0,iface=" + lab.Interface + ",start_queue=0,queue_count=1",
			"--", "-i", "--forward-mode=macswap", "--total-num-mbufs=16384",
		},
	})
	if err != nil {
		return err
	}
	s.running = &pmd{p}
	s.resume = func() error { return say(p, "start") }
	s.pause = func() error { return say(p, "stop") }
	return p.Favour()
}

func say(p *peer.Process, command string) error {
	if _, err := fmt.Fprintln(p.Stdin, command); err != nil {
		return fmt.Errorf("tell testpmd to %s: %w", command, errors.Join(err, p.Err()))
	}
	return nil
}

// forwarding is the forwarder, in a child process.
type forwarding struct {
	pid   int
	end   context.CancelFunc
	ended chan error
}

func (s *stand) startForwarder(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &forwarding{end: cancel, ended: make(chan error, 1)}
	ready := make(chan string, 1)
	go func() {
		f.ended <- s.wire.Balancer.Do(func() error {
			task := forwarder.Task{Interface: lab.Interface, CPU: s.place.balancer[0]}
			return child.Run(ctx, forwarder.Name, task, func(pid string) { ready <- pid }, func(result.Sample) {})
		})
	}()
	select {
	case err := <-f.ended:
		cancel()
		return fmt.Errorf("start the forwarder: %w", err)
	case pid := <-ready:
		f.pid, _ = strconv.Atoi(pid)
	}
	s.running = f
	return nil
}

// CPU is [peer.Running]'s.
func (f *forwarding) CPU() (time.Duration, error) { return peer.CPUOf(f.pid) }

// Stop is [peer.Running]'s.
func (f *forwarding) Stop() error {
	f.end()
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stop the forwarder: %w", err)
	}
	return nil
}

// lookedUp returns how many packets the daemon has dropped for want of a MAC address.
func (s *stand) lookedUp(ctx context.Context) (uint64, error) {
	list, err := s.daemon.API.Counters(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask afxlb for its counters: %w", err)
	}
	for _, c := range list {
		if c.Name == "no-neighbour" {
			return c.Value, nil
		}
	}
	return 0, errors.New("ask afxlb for its counters: it has none for packets without a neighbour")
}

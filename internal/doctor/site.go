package doctor

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// Site is where a config is to be served: its interfaces as they are, and what of them.
type Site struct {
	Workers int

	ports  []place
	cpus   []int // of the workers, as [engine.Placement] has them
	engine *engine.Config
}

// place is one interface of a site.
type place struct {
	nic    nic.State
	queues []int // by worker; some may be [xsk.NoQueue]
}

// Survey looks at the ports, which [Expand] returns, on which c is to be served, in the calling
// thread's network namespace. The error is a [MachineError] if there is no such interface or queue, and
// [engine.ErrPlacement] if the workers can't have their CPUs.
func Survey(c *engine.Config, ports []string) (s Site, err error) {
	s.engine = c
	for _, name := range ports {
		var p place
		if p.nic, err = nic.Look(name); err != nil {
			return s, AsMachine(err)
		}
		if p.queues, err = engine.Queues(len(ports) > 1, c.Queues, p.nic.RX); err != nil {
			return s, MachineError{Err: fmt.Errorf("%s: %w", name, err)}
		}
		s.ports, s.Workers = append(s.ports, p), max(s.Workers, len(p.queues))
	}
	s.cpus, err = engine.Placement(s.Workers, c.CPUs)
	return s, err
}

// Queues returns the numbers of the queues that are served of some interface.
func (s *Site) Queues() (all []int) {
	for i := range s.ports {
		for _, q := range s.ports[i].queues {
			if q != xsk.NoQueue && !slices.Contains(all, q) {
				all = append(all, q)
			}
		}
	}
	return all
}

// served is what would be made of one of its interfaces.
func (s *Site) served(p *place) Served {
	would := Served{CPUs: runtime.NumCPU()}
	if s.engine.Busy {
		would.Busy = s.Workers
	}
	for i, q := range p.queues {
		if q == xsk.NoQueue {
			continue
		}
		would.Queues = append(would.Queues, q)
		if q >= p.nic.TX {
			would.Detours = append(would.Detours, q)
		}
		if s.cpus[i] < 0 {
			would.Unpinned = append(would.Unpinned, q)
		}
	}
	return would
}

// names are the interfaces'.
func (s *Site) names() (list []string) {
	for i := range s.ports {
		list = append(list, s.ports[i].nic.Name)
	}
	return list
}

// Refuse returns why the site can't be served at all.
func (s *Site) Refuse() error {
	var errs []error
	for i := range s.ports {
		errs = append(errs, s.ports[i].refuse(s.engine))
	}
	return errors.Join(errs...)
}

func (p *place) refuse(c *engine.Config) error {
	if p.nic.Loopback {
		return MachineError{Err: fmt.Errorf("%s is a loopback, by which nobody else's packets come: it can't be served", p.nic.Name)}
	}
	if p.nic.Bare {
		return MachineError{Err: fmt.Errorf("%s is no Ethernet, as tunnels are not: its packets have no MAC addresses, and it can't be served; "+
			"serve the interface that they come by", p.nic.Name)}
	}
	if most := c.MaxMTU(&p.nic, ""); p.nic.MTU > most {
		whole, hint := *c, ""
		if whole.FrameSize = 0; p.nic.MTU <= whole.MaxMTU(&p.nic, "") {
			hint = ", or leave frame-size out"
		}
		return MachineError{Err: fmt.Errorf("%s has an MTU of %d, and in mode %[4]s packets of %[3]d are taken: larger ones would be lost; "+
			"set the MTU to %[3]d at most (ip link set %[1]s mtu %[3]d)%[5]s", p.nic.Name, p.nic.MTU, most, c.Mode, hint)}
	}
	return nil
}

// Largest returns the interface with the largest MTU, which decides over the frames of all.
// One that may have zero-copy goes before one that has not.
func (s *Site) Largest() *nic.State {
	p := slices.MaxFunc(s.ports, func(a, b place) int {
		if a.nic.NoZeroCopy != b.nic.NoZeroCopy {
			if a.nic.NoZeroCopy {
				return -1
			}
			return 1
		}
		return a.nic.MTU - b.nic.MTU
	})
	return &p.nic
}

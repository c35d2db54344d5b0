package daemon

import (
	"fmt"
	"runtime"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// site is where a config is to be served: its interface as it is, and what of it.
type site struct {
	nic    nic.State
	queues []int
	cpus   []int // of the queues' workers, as [engine.Placement] has them
	mode   xsk.Mode
}

// survey looks at the config's interface, in the calling thread's network namespace. The
// error is a [MachineError] if there is no such interface or queue, and
// [engine.ErrPlacement] if the workers can't have their CPUs.
func survey(c *config.Config) (s site, err error) {
	s.mode = xsk.Mode(c.XDPMode)
	if s.nic, err = nic.Look(c.Interface); err != nil {
		return s, Cannot(err)
	}
	if s.queues, err = engine.Queues(c.Queues, s.nic.RX); err != nil {
		return s, MachineError{Err: fmt.Errorf("%s: %w", c.Interface, err)}
	}
	s.cpus, err = engine.Placement(len(s.queues), c.CPUs)
	return s, err
}

// served is what would be made of it.
func (s *site) served() served {
	would := served{queues: s.queues, cpus: runtime.NumCPU()}
	for i, q := range s.queues {
		if q >= s.nic.TX {
			would.detours = append(would.detours, q)
		}
		if s.cpus[i] < 0 {
			would.unpinned = append(would.unpinned, q)
		}
	}
	return would
}

// refuse returns why the site can't be served at all.
func (s *site) refuse() error {
	if s.nic.Loopback {
		return MachineError{Err: fmt.Errorf("%s is a loopback, by which nobody else's packets come: it can't be served", s.nic.Name)}
	}
	if most := xsk.MaxMTU(s.mode); s.nic.MTU > most {
		return MachineError{Err: fmt.Errorf("%s has an MTU of %d, and in mode %[4]s a frame takes packets of %[3]d: larger ones would be lost; "+
			"set the MTU to %[3]d at most (ip link set %[1]s mtu %[3]d)", s.nic.Name, s.nic.MTU, most, s.mode)}
	}
	return nil
}

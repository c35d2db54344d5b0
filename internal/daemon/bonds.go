package daemon

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/nic"
)

// expand puts the slaves of bonds into the place of these, as they are now: one that is
// added later is served after a restart, of which a reload tells. The error is a
// [MachineError].
func expand(c *config.Config) error {
	var ports config.InterfaceList
	for _, name := range c.Interfaces {
		slaves, err := nic.Slaves(name)
		if err != nil {
			return MachineError{Err: err}
		}
		for _, s := range slaves {
			if slices.Contains(ports, s) {
				return MachineError{Err: fmt.Errorf("%v: %s would be served twice, for itself and as a bond's slave", c.Interfaces, s)}
			}
			ports = append(ports, s)
		}
	}
	if len(ports) > balancer.MaxPorts {
		return MachineError{Err: fmt.Errorf("%v are %d interfaces (%v), and %d can be served", c.Interfaces, len(ports), ports, balancer.MaxPorts)}
	}
	c.Interfaces = ports
	return nil
}

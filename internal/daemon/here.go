package daemon

import (
	"fmt"
	"net/netip"

	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/neighbour"
)

// Here returns what stands against serving c on this machine, in the caller's network
// namespace, a line each, and what is only to be known. It only reads; c names an
// interface. The error is a [MachineError] if there is not even an interface or queue to
// serve.
func Here(c *config.Config) (against, warnings []string, err error) {
	where, err := survey(c)
	if err != nil {
		return nil, nil, err
	}
	if err := where.refuse(); err != nil {
		against = append(against, err.Error())
	}
	would := served{queues: where.queues}
	for _, q := range where.queues {
		if q >= where.nic.TX {
			would.detours = append(would.detours, q)
		}
	}
	for _, f := range findings(&where.nic, &would, 0) {
		if f.Loss {
			against = append(against, f.Text)
		} else {
			warnings = append(warnings, f.Text)
		}
	}
	var addrs []netip.Addr
	for i := range c.Spec.Services {
		for _, b := range c.Spec.Services[i].Backends {
			addrs = append(addrs, b.Address)
		}
	}
	snapshot, err := neighbour.Look(c.Interface, addrs)
	if err != nil {
		return nil, nil, err
	}
	if !snapshot.LinkUp {
		against = append(against, c.Interface+": "+snapshot.LinkWhy)
	}
	for i := range c.Spec.Services {
		s := &c.Spec.Services[i]
		for j := range s.Backends {
			why := control.Obstacle(snapshot.Hops[s.Backends[j].Address], s.Mode)
			if why == "" {
				continue
			}
			against = append(against, fmt.Sprintf("services[%d].backends[%d]: %s of %s at %s is unreachable: %s",
				i, j, s.Backends[j].Name, s.Name, s.Backends[j].Address, why))
		}
	}
	return against, warnings, nil
}

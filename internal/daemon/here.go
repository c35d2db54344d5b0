package daemon

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/neighbour"
	"github.com/afxlb/afxlb/xsk"
)

// Here returns what stands against serving c on this machine, in the caller's network
// namespace, a line each. It only reads; c names an interface. The error is a [MachineError] if there is not
// even an interface or queue to serve.
func Here(c *config.Config) (findings []string, err error) {
	settings, err := engineConfig(c)
	if err == nil {
		err = engine.Placeable(len(settings.Queues), settings.CPUs)
	}
	if err != nil {
		return nil, err
	}
	iface, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", c.Interface, err)
	}
	if most := xsk.MaxMTU(); iface.MTU > most {
		findings = append(findings, fmt.Sprintf("%s: an MTU of %d does not fit into a frame; packets over %d bytes would be lost: set the MTU to %d at most",
			c.Interface, iface.MTU, most, most))
	}
	var addrs []netip.Addr
	for i := range c.Spec.Services {
		for _, b := range c.Spec.Services[i].Backends {
			addrs = append(addrs, b.Address)
		}
	}
	snapshot, err := neighbour.Look(c.Interface, addrs)
	if err != nil {
		return nil, err
	}
	if !snapshot.LinkUp {
		findings = append(findings, c.Interface+": no carrier")
	}
	for i := range c.Spec.Services {
		s := &c.Spec.Services[i]
		for j := range s.Backends {
			why := control.Obstacle(snapshot.Hops[s.Backends[j].Address], s.Mode)
			if why == "" {
				continue
			}
			findings = append(findings, fmt.Sprintf("services[%d].backends[%d]: %s of %s at %s is unreachable: %s",
				i, j, s.Backends[j].Name, s.Name, s.Backends[j].Address, why))
		}
	}
	return findings, nil
}

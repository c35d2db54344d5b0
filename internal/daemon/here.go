package daemon

import (
	"fmt"
	"net/netip"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/punt"
)

// remarks are what is to be said of serving a config here, a line each.
type remarks struct {
	against  []string // for these it can't be served, or loses packets
	warnings []string
}

func (r *remarks) refuse(format string, args ...any) {
	r.against = append(r.against, fmt.Sprintf(format, args...))
}

func (r *remarks) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// Here returns what stands against serving c on this machine, in the caller's network
// namespace, a line each, and what is only to be known. It only reads; c names one
// interface at least. The error is a [MachineError] if there is not even an interface or queue to
// serve.
func Here(c *config.Config) (against, warnings []string, err error) {
	ports, err := expand(c.Interfaces)
	if err != nil {
		return nil, nil, err
	}
	where, err := survey(c, ports)
	if err != nil {
		return nil, nil, err
	}
	var r remarks
	if err := where.refuse(); err != nil {
		r.refuse("%v", err)
	}
	for i := range where.ports {
		r.ofInterface(&where, &where.ports[i])
	}
	if err := punt.Possible(); err != nil && c.Spec.RepliesReturn() {
		r.warn("what backends of nat services send for reasons of their own can't be given back to the kernel: %v", err)
	}
	if err := r.ofBackends(c); err != nil {
		return nil, nil, err
	}
	return r.against, r.warnings, nil
}

// ofInterface says what would be found of the interface, and who has it already.
func (r *remarks) ofInterface(where *site, p *place) {
	would := where.served(p)
	for _, f := range findings(&p.nic, &would) {
		if f.Loss {
			r.refuse("%s", f.Text)
		} else {
			r.warn("%s", f.Text)
		}
	}
	if p.nic.Program == 0 {
		return
	}
	switch name, steers, err := bpf.Steers(p.nic.Program); {
	case err != nil:
		r.warn("%s: an XDP program is attached; if it is not the balancer's own, nothing can be served before it is gone: %v", p.nic.Name, err)
	case !steers: // else the balancer is at work
		r.refuse("%s: %v: %s; stop what put it there", p.nic.Name, bpf.ErrBusy, name)
	}
}

// ofBackends says which of them can't be reached.
func (r *remarks) ofBackends(c *config.Config) error {
	var addrs []netip.Addr
	for i := range c.Spec.Services {
		for _, b := range c.Spec.Services[i].Backends {
			addrs = append(addrs, b.Address)
		}
	}
	snapshot, err := egress.Look(c.Interfaces, addrs)
	if err != nil {
		return err
	}
	for i := range snapshot.Ports {
		if p := &snapshot.Ports[i]; !p.Up {
			r.refuse("%s: %s", p.Name, p.Why)
		}
	}
	for _, f := range control.Foreign(&c.Spec, snapshot.Local) {
		r.warn("%s", f)
	}
	for i := range c.Spec.Services {
		s := &c.Spec.Services[i]
		for j := range s.Backends {
			b := &s.Backends[j]
			if why := control.Obstacle(&snapshot, c.Spec.Neighbours, s, b.Address); why != "" {
				r.refuse("services[%d].backends[%d]: %s of %s at %s is unreachable: %s", i, j, b.Name, s.Name, b.Address, why)
			}
		}
	}
	return nil
}

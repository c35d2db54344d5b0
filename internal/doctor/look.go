package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/listener"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// Options say what to look at.
type Options struct {
	Config *config.Config
	Engine engine.Config // what the config asks of it
	Socket string
	// Running is the balancer that answers there; nil: none does.
	Running  *api.Status
	Pending  []string      // what a reload of it would change
	Unasked  error         // why that is not known
	Counters []api.Counter // its
}

// Look gathers the facts of the file, or of the balancer that runs, in the calling thread's network namespace. It only reads.
func Look(o *Options) (*Facts, error) {
	f := &Facts{Config: o.Config, Running: o.Running, Pending: o.Pending, Unasked: o.Unasked, Kernel: release(), Privilege: xsk.Probe()}
	if o.Running != nil {
		f.Privilege = nil // its, not this process's
	}
	f.Several = xsk.MultiBuffer()
	for _, c := range o.Counters {
		if c.Loss && c.Value > 0 && (c.Group == "kernel" || c.Group == "steering") {
			f.Lost = append(f.Lost, c)
		}
	}
	if o.Running != nil {
		f.asServed()
	}
	f.survey(&o.Engine)
	if f.NoSite == nil {
		if err := f.network(); err != nil {
			return nil, err
		}
		if o.Running == nil { // else it has what it takes, under its own limits
			n := NeedOf(&o.Engine, &o.Config.Spec, f.Site.Largest(), f.Site.Workers)
			for _, err := range []error{n.WithinGroup(), n.WithinLock()} {
				if err != nil {
					f.Memory = append(f.Memory, err)
				}
			}
		}
	}
	var err error
	if f.Left, err = lookForLeftovers(o.Socket, o.Config.StateFile); err != nil {
		return nil, fmt.Errorf("look for what was left: %w", err)
	}
	f.Machine, err = LookAtMachine(&o.Config.Spec, f.Site.names(), f.Site.cpus)
	if o.Running != nil {
		f.Machine.CPUs = workerCPUs(o.Running)
	}
	return f, err
}

// asServed has the interfaces be those that the balancer serves, which flags may have named.
func (f *Facts) asServed() {
	var served []string
	for _, p := range f.Running.Ports {
		served = append(served, p.Name)
	}
	if named, err := Expand(f.Config.Interfaces); err == nil && slices.Equal(named, served) {
		return // which may be a bond
	}
	c := *f.Config
	c.Interfaces = served
	f.Config = &c
}

// workerCPUs are those of a running balancer's workers, by queue.
func workerCPUs(s *api.Status) (cpus []int) {
	for i := range s.Workers {
		k := &s.Workers[i]
		for len(cpus) <= k.Queue {
			cpus = append(cpus, -1)
		}
		cpus[max(k.Queue, 0)] = k.CPU
	}
	return cpus
}

func release() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "?"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// survey looks at the interfaces that are to be served.
func (f *Facts) survey(asked *engine.Config) {
	if len(f.Config.Interfaces) == 0 {
		f.NoSite = MachineError{Err: errors.New("no interface is named")}
		return
	}
	ports, err := Expand(f.Config.Interfaces)
	if err == nil {
		f.Site, err = Survey(asked, ports)
	}
	if f.NoSite = err; err != nil {
		return
	}
	f.Refused = f.Site.Refuse()
	for i := range f.Site.ports {
		if now := &f.Site.ports[i].nic; now.Program != 0 {
			p := Program{Interface: now.Name}
			p.Name, p.Steers, p.Err = bpf.Steers(now.Program)
			f.Programs = append(f.Programs, p)
		}
	}
}

// network looks at the ways to the backends, and what else the services meet here.
func (f *Facts) network() (err error) {
	var addrs []netip.Addr
	for i := range f.Config.Spec.Services {
		for _, b := range f.Config.Spec.Services[i].Backends {
			addrs = append(addrs, b.Address)
		}
	}
	if f.Ways, err = egress.Look(f.Config.Interfaces, addrs); err != nil {
		return err
	}
	if f.Meetings, err = listener.Meetings(&f.Config.Spec); err != nil {
		return err
	}
	f.Ports = f.Site.names()
	f.Punt = punt.Possible()
	return nil
}

// LookAtMachine gathers what is of the machine as a whole, where the services of spec are served on
// these ports by workers on these CPUs. What can't be read is not known.
func LookAtMachine(spec *balancer.Spec, ports []string, cpus []int) (m Machine, err error) {
	m = Machine{Spec: spec, Ports: ports, CPUs: cpus, Balances: processRuns("irqbalance"), VRRP: processRuns("keepalived")}
	if m.Own, err = ownPrefixes(); err != nil {
		return m, fmt.Errorf("look at the machine: %w", err)
	}
	m.Routing = lookAtRouting(ports)
	m.Neighbours = lookAtNeighbours()
	for _, name := range ports {
		m.NICs = append(m.NICs, lookAtNIC(name))
	}
	m.Firewall = lookAtFirewall(spec)
	return m, nil
}

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/nic"
)

// refused says why the interfaces can't be served.
func refused(f *Facts, r *found) {
	switch {
	case f.NoSite != nil && len(f.Config.Interfaces) == 0:
		r.cannot(oneLine(f.NoSite), "nothing can be served", "write interface into the config, or give --interface; `ip -br link` shows what there is")
	case f.NoSite != nil:
		r.cannot(oneLine(f.NoSite), "nothing can be served", "name another one in interface, queues or cpus; `ip -br link` and `ethtool -l` show what there is")
	case f.Refused != nil: // which has the remedy
		r.cannot(oneLine(f.Refused), "", "see `ip -d link`")
	}
}

// interfaces says what is to be found of each, as a daemon would.
func interfaces(f *Facts, r *found) {
	for i := range f.Site.ports {
		p := &f.Site.ports[i]
		s := f.served(p)
		r.findings = append(r.findings, OfInterface(&p.nic, &s)...)
		r.saw("%s: %d RX and %d TX queues (served: %s); MTU %d; LRO %s, rx-gro-hw %s, rx-vlan-offload %s", p.nic.Name, p.nic.RX, p.nic.TX,
			numbers(s.Queues), p.nic.MTU, onOff(p.nic.Offloads.LRO), onOff(p.nic.Offloads.GROHardware), onOff(p.nic.Offloads.VLAN))
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// served is what is made of an interface, or would be.
func (f *Facts) served(p *place) Served {
	s := f.Site.served(p)
	s.Mode = f.expected(&p.nic)
	if s.Mode == "" { // it is tried first
		s.Mode = bpf.Native
	}
	port := f.runningPort(p.nic.Name)
	if port == nil {
		return s
	}
	s.Queues, s.Detours, s.Unpinned, s.Busy = port.Queues, nil, nil, 0
	if f.Running.Poll == string(config.PollBusy) {
		s.Busy = len(f.Running.Workers)
	}
	for i := range f.Running.Workers {
		k := &f.Running.Workers[i]
		if !slices.Contains(port.Queues, k.Queue) {
			continue
		}
		if k.CPU < 0 {
			s.Unpinned = append(s.Unpinned, k.Queue)
		}
		if k.Queue >= p.nic.TX {
			s.Detours = append(s.Detours, k.Queue)
		}
	}
	return s
}

// expected is where the program is, or would be as far as that is known.
func (f *Facts) expected(now *nic.State) bpf.AttachMode {
	switch port := f.runningPort(now.Name); {
	case port != nil:
		return bpf.AttachMode(port.XDPMode)
	case f.Config.XDPMode == config.XDPGeneric || now.NoNative && f.Config.XDPMode == config.XDPAuto:
		return bpf.Generic
	}
	return ""
}

// runningPort returns the port as a balancer serves it now; nil if none does.
func (f *Facts) runningPort(name string) *api.Port {
	if f.Running == nil {
		return nil
	}
	for i := range f.Running.Ports {
		if p := &f.Running.Ports[i]; p.Name == name && p.State == api.StateServing {
			return p
		}
	}
	return nil
}

// warned reports whether the balancer that runs has a warning.
func (f *Facts) warned(code string) bool {
	return slices.ContainsFunc(f.Running.Warnings, func(w api.Warning) bool { return w.Code == code })
}

// driver is what people call it.
func driver(now *nic.State) string {
	if now.Driver == "" {
		return "the driver of " + now.Name
	}
	return "the driver " + now.Driver
}

// xdpMode says where the program runs, and why not in the driver.
func xdpMode(f *Facts, r *found) {
	for i := range f.Site.ports {
		now := &f.Site.ports[i].nic
		wanted := f.Config.XDPMode
		switch mode := f.expected(now); {
		case mode == bpf.Generic && (wanted == config.XDPGeneric || f.Running != nil && !f.warned("generic")):
			r.saw("%s: generic, as asked for", now.Name)
		case mode == bpf.Generic && now.NoNative:
			r.add(now.Name, Warning, "XDP runs in generic mode", driver(now)+" takes no native program, and each packet costs several times as much",
				"serve an interface whose driver has native XDP (`ip -d link` of a bond's or VLAN's lower device), or update the kernel")
		case mode == bpf.Generic:
			r.add(now.Name, Warning, "XDP runs in generic mode", driver(now)+" has native XDP, and did not take the program: mostly for its MTU, for LRO, or for too few queues",
				"afxlb events shows what it was; try xdp-mode: copy, which refuses with the driver's reason (`dmesg | tail`)")
		case now.NoNative && (wanted == config.XDPZeroCopy || wanted == config.XDPCopy):
			r.add(now.Name, Cannot, fmt.Sprintf("xdp-mode is %s", wanted), driver(now)+" takes no native program", "set xdp-mode: auto, or serve another interface")
		case mode == bpf.Native:
			r.saw("%s: native", now.Name)
		default:
			r.saw("%s: native, if %s takes the program", now.Name, driver(now))
		}
	}
}

// zeroCopy says whether there is any, and why not.
func zeroCopy(f *Facts, r *found) {
	for i := range f.Site.ports {
		now := &f.Site.ports[i].nic
		p, wanted := f.runningPort(now.Name), f.Config.XDPMode
		switch {
		case p != nil && p.Bind == "zero-copy":
			r.saw("%s: zero-copy", now.Name)
		case now.NoZeroCopy && wanted == config.XDPZeroCopy:
			r.add(now.Name, Cannot, "xdp-mode is zero-copy", driver(now)+" has none", "set xdp-mode: auto, or serve another interface")
		case now.NoZeroCopy:
			r.saw("%s: copy, since %s has no zero-copy", now.Name, driver(now))
		case p != nil && wanted == config.XDPAuto && p.XDPMode == string(bpf.Native):
			why := p.WhyCopy
			if why == "" {
				why = "the kernel did not say why"
			}
			r.saw("%s: copy: %s", now.Name, why)
		case wanted == config.XDPAuto || wanted == config.XDPZeroCopy:
			r.saw("%s: zero-copy, if %s has it", now.Name, driver(now))
		default:
			r.saw("%s: copy, as asked for", now.Name)
		}
	}
}

// programs says whose XDP program is on the interfaces.
func programs(f *Facts, r *found) {
	for _, p := range f.Programs {
		off := "see whose it is (bpftool net show dev " + p.Interface + "), stop that, or take the program off: ip link set dev " + p.Interface + " xdp off"
		switch {
		case f.runningPort(p.Interface) != nil:
			r.saw("%s: the balancer's own", p.Interface)
		case p.Err != nil:
			r.add(p.Interface, Warning, "an XDP program is attached", "if it is not the balancer's own, nothing can be served before it is gone: "+oneLine(p.Err), off)
		case !p.Steers:
			r.add(p.Interface, Cannot, fmt.Sprintf("%v: %s", bpf.ErrBusy, p.Name), "", "stop what put it there; "+off)
		default:
			r.saw("%s: the steering program of a balancer", p.Interface)
		}
	}
}

// puntDevice says why nothing can be given back to the kernel.
func puntDevice(f *Facts, r *found) {
	switch {
	case f.Config == nil || !f.Config.Spec.RepliesReturn():
	case f.Punt != nil:
		r.warn("what backends of nat services send for reasons of their own can't be given back to the kernel", oneLine(f.Punt),
			"load the module (modprobe tun), or give the container the device /dev/net/tun")
	default:
		r.saw("/dev/net/tun is there")
	}
}

// links says which interfaces have no carrier.
func links(f *Facts, r *found) {
	for i := range f.Ways.Ports {
		if p := &f.Ways.Ports[i]; !p.Up {
			r.add(p.Name, Cannot, p.Why, "", "ip link set "+p.Name+" up, and see to its cable and its other end")
		}
	}
}

// listeners says which services have a port of this machine's own servers.
func listeners(f *Facts, r *found) {
	for _, line := range f.Meetings {
		r.warn(line, "", "have the server listen on another address or port; `ss -lntup` shows it")
	}
}

// memory says which limits are too low.
func memory(f *Facts, r *found) {
	for _, err := range f.Memory { // which has the remedy
		r.cannot(oneLine(err), "", "a unit has LimitMEMLOCK= and MemoryMax= for it, a shell ulimit -l")
	}
	if len(f.Memory) == 0 && f.NoSite == nil && f.Config != nil {
		r.saw("the limits on memory leave what serving takes")
	}
}

// privileges says what the kernel and the process lack.
func privileges(f *Facts, r *found) {
	if f.Privilege == nil {
		r.saw("Linux %s has AF_XDP, and this process may use it", f.Kernel)
		if !f.Several {
			r.saw("Linux %s takes a packet in one frame only: MTUs above 3626 want Linux 6.6", f.Kernel)
		}
		return
	}
	do := "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON (packaging's unit has them)"
	if strings.Contains(f.Privilege.Error(), "CONFIG_XDP_SOCKETS") {
		do = "boot a kernel with CONFIG_XDP_SOCKETS=y; this is " + f.Kernel
	}
	r.cannot(oneLine(f.Privilege), "nothing can be served without", do)
}

package bpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// AttachMode is where in the receive path the program runs.
type AttachMode string

const (
	// Native runs in the driver, before the kernel makes a socket buffer.
	Native AttachMode = "native"
	// Generic runs after that: on every interface, but slowly, and always in
	// copy mode.
	Generic AttachMode = "generic"
)

var attachFlags = map[AttachMode]link.XDPAttachFlags{
	Native:  link.XDPDriverMode,
	Generic: link.XDPGenericMode,
}

// Attach attaches the program to the interface in the first of the preferred
// modes that works there, and returns that mode; without preference these are
// Native, then Generic. To learn why a mode is refused, ask for it alone.
//
// It attaches by a BPF link that this process alone holds: when the process ends,
// however it ends, the kernel detaches the program. A program is on at most one
// interface, as its sockets are those of one interface's queues: for another one there is
// [Program.Share].
//
// The error is [ErrBusy] if another program is there, which is left alone, and
// ENODEV if there is no such interface in the caller's network namespace.
func (p *Program) Attach(ifindex int, prefer ...AttachMode) (AttachMode, error) {
	// The kernel's answer would be EINVAL, as for much else.
	device, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return "", fmt.Errorf("attach to interface %d: %w: %w", ifindex, unix.ENODEV, err)
	}
	name := device.Name
	if p.link != nil {
		return "", fmt.Errorf("attach to %s: this program is attached already: detach it first", name)
	}
	if len(prefer) == 0 {
		prefer = []AttachMode{Native, Generic}
	}
	var refused error
	for _, mode := range prefer {
		flags, ok := attachFlags[mode]
		if !ok {
			return "", fmt.Errorf("attach to %s: no such mode: %q", name, mode)
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: p.objects.Steer, Interface: ifindex, Flags: flags})
		if err == nil {
			p.link = l
			return mode, nil
		}
		err, final := explainAttach(err, mode, name)
		err = fmt.Errorf("%s mode: %w", mode, err)
		if final {
			return "", fmt.Errorf("attach to %s: %w", name, err)
		}
		if refused != nil {
			err = fmt.Errorf("%w; %w", refused, err)
		}
		refused = err
	}
	return "", fmt.Errorf("attach to %s: %w", name, refused)
}

// Renew attaches the program once more where it is, without a moment in which there is
// none: for a driver that has got queues since. On those veth runs no program until it is
// given one (veth_enable_range_safe and veth_xdp_set of drivers/net/veth.c), and what
// comes there is the kernel's. The program is loaded again for this, with the same
// maps, because a link takes its own program as no change (bpf_xdp_link_update of
// net/core/dev.c).
func (p *Program) Renew() error {
	if p.link == nil {
		return errors.New("renew the steering program: it is not attached")
	}
	if err := p.renew(); err != nil {
		return fmt.Errorf("renew the steering program: %w", err)
	}
	return nil
}

// renew loads the program again, and attaches it where it is, if it is attached.
func (p *Program) renew() error {
	again, err := p.reload()
	if err != nil {
		return err
	}
	if p.link != nil {
		if err := p.link.Update(again); err != nil {
			again.Close()
			return err
		}
	}
	err = p.objects.Steer.Close()
	p.objects.Steer = again
	return err
}

// Steers reports whether the XDP program with an ID is a steering program, of whatever
// process, and the name that the kernel has of it. It takes CAP_SYS_ADMIN to ask.
func Steers(id uint32) (name string, yes bool, err error) {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return "", false, fmt.Errorf("look at XDP program %d: %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", false, fmt.Errorf("look at XDP program %d: %w", id, err)
	}
	return info.Name, info.Name == "steer", nil
}

// ErrDetached says that somebody else has taken the program off its interface, or that the
// interface is gone.
var ErrDetached = errors.New("the steering program is not on the interface any more")

// Attached returns [ErrDetached] if the program is not where it was attached: a link keeps
// others from replacing it, but who may do so can detach the link itself (bpf_xdp_link_detach
// of net/core/dev.c; bpftool link detach), of which no event tells. It is no error if it was not
// attached.
func (p *Program) Attached() error {
	if p.link == nil {
		return nil
	}
	info, err := p.link.Info()
	if err != nil {
		return fmt.Errorf("ask where the steering program is: %w", err)
	}
	if x := info.XDP(); x != nil && x.Ifindex == 0 { // bpf_xdp_link_fill_link_info
		return ErrDetached
	}
	return nil
}

// Detach takes the program off its interface, at once: from then on the kernel
// has every packet. It is no error if it is not attached, or the interface gone.
func (p *Program) Detach() error {
	if p.link == nil {
		return nil
	}
	err := p.link.Close()
	p.link = nil
	if err != nil {
		return fmt.Errorf("detach the steering program: %w", err)
	}
	return nil
}

// refusals says what drivers mean by refusing native mode: drivers/net/veth.c,
// veth_xdp_set, and common practice in the others.
var refusals = map[unix.Errno]string{
	unix.EOPNOTSUPP: "the driver has no native XDP",
	unix.ERANGE:     "the MTU is too large for XDP",
	unix.ENOSPC:     "there are too few RX queues (a veth needs as many as its peer has TX queues)",
	unix.EINVAL:     "the driver refuses it as the interface is set up: mind MTU, LRO and number of queues",
}

// explainAttach names what the kernel's errno means; final if another mode has no
// better chance.
func explainAttach(err error, mode AttachMode, name string) (explained error, final bool) {
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("%w: no BPF link for XDP (Linux 5.9): %w", ErrNotSupported, err), true
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err, true
	}
	switch errno {
	case unix.EBUSY, unix.EEXIST: // in this mode, or in the other: net/core/dev.c, dev_xdp_attach
		return fmt.Errorf("%w to %s: stop what put it there (`ip link show dev %[2]s` names it): %w",
			ErrBusy, name, errno), true
	case unix.EPERM, unix.EACCES:
		return explainPermission(errno), true
	}
	if why, ok := refusals[errno]; ok && mode == Native {
		return fmt.Errorf("%s: %w", why, errno), false
	}
	return errno, false
}

package lab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Trunk makes a trunk of one of the switch's interfaces, a TAP or [Lab.Port], for one VLAN:
// frames that leave by it get the tag, and of those that come by it only the ones with the
// tag are taken, without it. It needs no kernel that knows VLANs.
func (l *Lab) Trunk(name string, vlan uint16) error {
	end, err := l.Switch.link.LinkByName(name)
	if err == nil {
		err = l.Switch.Do(func() error { return trunk(end, vlan) })
	}
	if err != nil {
		return fmt.Errorf("make a trunk of %s: %w", name, err)
	}
	return nil
}

// Port returns the name of the switch's interface that a host is connected to.
func (l *Lab) Port(h *Host) string { return port(h) }

// Fields of struct __sk_buff (include/uapi/linux/bpf.h), and what a program says of a packet
// (include/uapi/linux/pkt_cls.h).
const (
	hasVLAN, vlanTCI = 20, 24
	accept, drop     = 0, 2
)

func trunk(end netlink.Link, vlan uint16) error {
	const tpid = 0x0081 // 802.1Q, in network byte order
	push := asm.Instructions{
		asm.Mov.Imm(asm.R2, tpid), asm.Mov.Imm(asm.R3, int32(vlan)), asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, accept), asm.Return(),
	}
	pop := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, hasVLAN, asm.Word), asm.JEq.Imm(asm.R2, 0, "other"),
		asm.LoadMem(asm.R2, asm.R1, vlanTCI, asm.Word), asm.And.Imm(asm.R2, 0xfff), asm.JNE.Imm(asm.R2, int32(vlan), "other"),
		asm.FnSkbVlanPop.Call(),
		asm.Mov.Imm(asm.R0, accept), asm.Return(),
		asm.Mov.Imm(asm.R0, drop).WithSymbol("other"), asm.Return(),
	}
	// What was put there before is replaced.
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: end.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add a place for programs: %w", err)
	}
	for parent, code := range map[uint32]asm.Instructions{netlink.HANDLE_MIN_EGRESS: push, netlink.HANDLE_MIN_INGRESS: pop} {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: code})
		if err != nil {
			return fmt.Errorf("load a program: %w", err)
		}
		err = netlink.FilterReplace(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: end.Attrs().Index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
			Fd:          program.FD(), Name: "trunk", DirectAction: true,
		})
		if err = errors.Join(err, program.Close()); err != nil { // the filter keeps it
			return fmt.Errorf("attach a program: %w", err)
		}
	}
	return nil
}

package lab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Trunk makes a trunk of one of the switch's interfaces, a TAP or [Lab.Port], for a VLAN and
// those of [Lab.SetVLAN]: frames that leave by it get the tag, and of those that come by it
// only the ones with such a tag are taken, without it. It needs no kernel that knows VLANs.
func (l *Lab) Trunk(name string, vlan uint16, others ...uint16) error {
	push := asm.Instructions{
		asm.LoadMem(asm.R3, asm.R1, mark, asm.Word), asm.JNE.Imm(asm.R3, 0, "push"),
		asm.Mov.Imm(asm.R3, int32(vlan)),
		asm.Mov.Imm(asm.R2, tpid).WithSymbol("push"), asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, accept), asm.Return(),
	}
	pop := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, hasVLAN, asm.Word), asm.JEq.Imm(asm.R2, 0, "other"),
		asm.LoadMem(asm.R2, asm.R1, vlanTCI, asm.Word), asm.And.Imm(asm.R2, 0xfff),
	}
	for _, v := range append(others, vlan) {
		pop = append(pop, asm.JEq.Imm(asm.R2, int32(v), "pop"))
	}
	pop = append(pop,
		asm.Mov.Imm(asm.R0, drop).WithSymbol("other"), asm.Return(),
		asm.FnSkbVlanPop.Call().WithSymbol("pop"),
		asm.Mov.Imm(asm.R0, accept), asm.Return(),
	)
	if err := l.Switch.program(name, map[uint32]asm.Instructions{netlink.HANDLE_MIN_EGRESS: push, netlink.HANDLE_MIN_INGRESS: pop}); err != nil {
		return fmt.Errorf("make a trunk of %s: %w", name, err)
	}
	return nil
}

// SetVLAN has what a host sends be in a VLAN, as trunks tell.
func (l *Lab) SetVLAN(h *Host, vlan uint16) error {
	note := asm.Instructions{
		asm.Mov.Imm(asm.R2, int32(vlan)), asm.StoreMem(asm.R1, mark, asm.R2, asm.Word),
		asm.Mov.Imm(asm.R0, accept), asm.Return(),
	}
	if err := l.Switch.program(port(h), map[uint32]asm.Instructions{netlink.HANDLE_MIN_INGRESS: note}); err != nil {
		return fmt.Errorf("set the VLAN of %s: %w", h.Name, err)
	}
	return nil
}

// Port returns the name of the switch's interface that a host is connected to.
func (l *Lab) Port(h *Host) string { return port(h) }

// Fields of struct __sk_buff (include/uapi/linux/bpf.h), and what a program says of a packet
// (include/uapi/linux/pkt_cls.h).
const (
	mark, hasVLAN, vlanTCI = 8, 20, 24
	accept, drop           = 0, 2

	tpid = 0x0081 // 802.1Q, in network byte order
)

// program has what leaves or comes by an interface go through programs, in place of those
// that were there.
func (h *Host) program(name string, programs map[uint32]asm.Instructions) error {
	end, err := h.link.LinkByName(name)
	if err != nil {
		return err
	}
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: end.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}}
	if err := h.link.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add a place for programs: %w", err)
	}
	for parent, code := range programs {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: code})
		if err != nil {
			return fmt.Errorf("load a program: %w", err)
		}
		err = h.link.FilterReplace(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: end.Attrs().Index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
			Fd:          program.FD(), Name: "trunk", DirectAction: true,
		})
		if err = errors.Join(err, program.Close()); err != nil { // the filter keeps it
			return fmt.Errorf("attach a program: %w", err)
		}
	}
	return nil
}

package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/afxlb/afxlb/internal/lab"
)

// silence has a host drop all IPv4 packets to one address. It answers ARP still, so the
// address looks like a machine that hangs: who asks has to wait until time is up.
type silence struct {
	address  *ebpf.Map // one entry: the address as in the header, 0 for none
	program  *ebpf.Program
	attached link.Link
}

// newSilence attaches the program to a host's interface, with nothing to drop.
func newSilence(h *lab.Host) (s *silence, err error) {
	s = &silence{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("have %s drop packets: %w", h.Name, err), s.close())
			s = nil
		}
	}()
	s.address, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return s, err
	}
	s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: dropTo(s.address)})
	if err != nil {
		return s, err
	}
	err = h.Do(func() error {
		i, err := net.InterfaceByName(lab.Interface)
		if err == nil {
			s.attached, err = link.AttachXDP(link.XDPOptions{Program: s.program, Interface: i.Index, Flags: link.XDPGenericMode})
		}
		return err
	})
	return s, err
}

// dropTo is the program: offsets are those of Ethernet (14 bytes) and IPv4.
func dropTo(m *ebpf.Map) asm.Instructions {
	const etherType, destination, end = 12, 14 + 16, 14 + 20
	const drop, pass = 1, 2 // XDP_DROP and XDP_PASS of include/uapi/linux/bpf.h
	ipv4 := int32(binary.NativeEndian.Uint16([]byte{0x08, 0x00}))
	return asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R7, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R8, asm.R6),
		asm.Add.Imm(asm.R8, end),
		asm.JGT.Reg(asm.R8, asm.R7, "pass"),
		asm.LoadMem(asm.R8, asm.R6, etherType, asm.Half),
		asm.JNE.Imm(asm.R8, ipv4, "pass"),
		asm.LoadMem(asm.R8, asm.R6, destination, asm.Word),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.JNE.Reg(asm.R0, asm.R8, "pass"),
		asm.Mov.Imm(asm.R0, drop),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"),
		asm.Return(),
	}
}

// of silences an address, and gives the one before its voice back; 0.0.0.0 is nobody.
func (s *silence) of(a netip.Addr) error {
	if err := s.address.Put(uint32(0), a.As4()); err != nil {
		return fmt.Errorf("silence %s: %w", a, err)
	}
	return nil
}

func (s *silence) close() error {
	var errs []error
	if s.attached != nil {
		errs = append(errs, s.attached.Close())
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	if s.address != nil {
		errs = append(errs, s.address.Close())
	}
	return errors.Join(errs...)
}

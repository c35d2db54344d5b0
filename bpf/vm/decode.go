package vm

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/asm"
)

// instruction is one that can be run: jumps and calls know where they lead, and loads of
// maps what their pointers are.
type instruction struct {
	code     uint8 // as RFC 9669 has it
	dst, src uint8
	target   int32  // of a jump or call: index of the next instruction
	offset   uint64 // of a load or store, with its sign
	constant uint64 // with its sign
}

// The parts of an instruction's code (RFC 9669, section 3).
const (
	classMask  = 0x07
	sourceReg  = 0x08
	opMask     = 0xf0
	sizeMask   = 0x18
	modeMask   = 0xe0
	modeMemory = 0x60

	call, exit = uint8(asm.Call), uint8(asm.Exit)
	codeCall   = uint8(asm.JumpClass) | call
	codeExit   = uint8(asm.JumpClass) | exit
	codeLoad   = 0x18 // a constant of 64 bits
	// codeCallHelper is a call of a helper, which shares its code with other calls.
	codeCallHelper = codeCall | sourceReg
)

// constant is a register that no program has: what is done with a constant is done with
// this one, which has it.
const constant = 11

// decode makes a program's instructions ready to run.
func (m *Machine) decode(program asm.Instructions) error {
	places := places{offsets: map[int]int32{}, functions: map[string]int32{}}
	i := int32(0)
	for it := program.Iterate(); it.Next(); i++ {
		places.offsets[int(it.Offset)] = i
		if name := it.Ins.Symbol(); name != "" {
			places.functions[name] = i
		}
	}
	m.code = make([]instruction, 0, len(program))
	for it := program.Iterate(); it.Next(); {
		in, known := m.translate(it.Ins, int(it.Offset), &places)
		if !known {
			return fmt.Errorf("instruction %d: %v: %w", it.Index, it.Ins, errors.ErrUnsupported)
		}
		m.code = append(m.code, in)
	}
	return nil
}

// places are where jumps and calls lead: the indices of instructions.
type places struct {
	offsets   map[int]int32 // by where they are in the object: some take two places there
	functions map[string]int32
}

// translate returns the instruction that stands at an offset, and whether a Machine knows
// it.
func (m *Machine) translate(from *asm.Instruction, offset int, to *places) (in instruction, known bool) {
	in = instruction{
		code: uint8(from.OpCode), dst: uint8(from.Dst), src: uint8(from.Src),
		offset: uint64(int64(from.Offset)), constant: uint64(from.Constant),
	}
	if asm.OpCode(in.code) != from.OpCode { // it has a sign, or more of a kind
		return in, false
	}
	switch class := from.OpCode.Class(); class {
	case asm.LdClass:
		if from.IsLoadFromMap() {
			in.constant, known = m.mapPointer(from)
			return in, known
		}
		return in, from.OpCode.IsDWordLoad() && from.Src == 0
	case asm.LdXClass, asm.StXClass:
		return in, in.code&modeMask == modeMemory
	case asm.StClass:
		known = in.code&modeMask == modeMemory
		in.code, in.src = in.code&^classMask|uint8(asm.StXClass), constant
		return in, known
	case asm.ALUClass, asm.ALU64Class:
		if op := in.code & opMask; op == swap {
			return in, class == asm.ALUClass || in.code&sourceReg == 0
		} else if op > swap {
			return in, false
		}
	default: // jumps
		switch {
		case from.IsBuiltinCall():
			in.code = codeCallHelper
			return in, isHelper(in.constant)
		case from.IsFunctionCall():
			in.target, known = to.functions[from.Reference()]
			return in, known
		case in.code == codeExit:
			return in, true
		case in.code&opMask > sle || in.code == j32&^sourceReg|ja || in.code&opMask == call || in.code&opMask == exit:
			return in, false
		}
		if in.target, known = to.offsets[offset+1+int(from.Offset)]; !known {
			return in, false
		}
	}
	if in.code&sourceReg == 0 {
		in.code, in.src = in.code|sourceReg, constant
	}
	return in, true
}

// mapPointer returns what a load of a map gives: of one that holds variables, where they
// are.
func (m *Machine) mapPointer(in *asm.Instruction) (uint64, bool) {
	t := m.maps[in.Reference()]
	if t == nil {
		return 0, false
	}
	offset := uint64(0)
	if in.Src == asm.PseudoMapValue {
		offset = uint64(in.Constant) >> 32
	}
	return pointer(t.region, offset), true
}

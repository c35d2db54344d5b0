package vm

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/asm"
)

// instruction is one that can be run: jumps and calls know where they lead, and loads of
// maps what their pointers are.
type instruction struct {
	kind     kind
	code     uint8 // as RFC 9669 has it
	dst, src uint8
	target   int32  // of a jump or call: index of the next instruction
	offset   uint64 // of a load or store, with its sign
	constant uint64 // with its sign
}

// kind is what run tells instructions by.
type kind uint8

const (
	exits kind = iota
	computes
	computesHalf // on the lower halves, and the upper one becomes 0
	swaps
	takes // a constant of 64 bits
	loads
	stores
	jumps
	jumpsHalf // as the lower halves compare
	calls
	helps
)

// The parts of an instruction's code (RFC 9669, section 3).
const (
	sourceReg  = 0x08
	opMask     = 0xf0
	sizeMask   = 0x18
	modeMask   = 0xe0
	modeMemory = 0x60

	call, exit = uint8(asm.Call), uint8(asm.Exit)
	codeExit   = uint8(asm.JumpClass) | exit
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
		if in.kind = takes; from.IsLoadFromMap() {
			in.constant, known = m.mapPointer(from)
			return in, known
		}
		return in, from.OpCode.IsDWordLoad() && from.Src == 0
	case asm.LdXClass:
		in.kind = loads
		return in, in.code&modeMask == modeMemory
	case asm.StXClass, asm.StClass:
		if in.kind = stores; class == asm.StClass {
			in.src = constant
		}
		return in, in.code&modeMask == modeMemory
	case asm.ALUClass, asm.ALU64Class:
		if op := in.code & opMask; op == swap {
			in.kind = swaps
			return in, class == asm.ALUClass || in.code&sourceReg == 0
		} else if op > swap {
			return in, false
		}
		if in.kind = computes; class == asm.ALUClass {
			in.kind = computesHalf
		}
	default:
		if known = in.jump(from, offset, to); !known || in.kind != jumps && in.kind != jumpsHalf {
			return in, known
		}
	}
	if in.code&sourceReg == 0 {
		in.src = constant
	}
	return in, true
}

// jump makes in the jump or call that from is, and reports whether it is known.
func (in *instruction) jump(from *asm.Instruction, offset int, to *places) (known bool) {
	in.kind = jumps
	if from.OpCode.Class() == asm.Jump32Class {
		in.kind = jumpsHalf
	}
	switch op := in.code & opMask; {
	case from.IsBuiltinCall():
		in.kind = helps
		return isHelper(in.constant)
	case from.IsFunctionCall():
		in.kind = calls
		in.target, known = to.functions[from.Reference()]
	case in.code == codeExit:
		in.kind = exits
		return true
	case op > sle || op == call || op == exit || op == ja && in.kind == jumpsHalf:
		return false
	default:
		in.target, known = to.offsets[offset+1+int(from.Offset)]
	}
	return known
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

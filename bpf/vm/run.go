package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf/asm"
)

// What run tells instructions by: the classes that compute and compare two registers, and
// their operations.
const (
	alu = uint8(asm.ALU64Class) | sourceReg
	w32 = uint8(asm.ALUClass) | sourceReg // on the lower halves, and the upper one becomes 0
	jmp = uint8(asm.JumpClass) | sourceReg
	j32 = uint8(asm.Jump32Class) | sourceReg
	ldx = uint8(asm.LdXClass) | modeMemory
	stx = uint8(asm.StXClass) | modeMemory

	add, sub, mul, div = uint8(asm.Add), uint8(asm.Sub), uint8(asm.Mul), uint8(asm.Div)
	or, and, lsh, rsh  = uint8(asm.Or), uint8(asm.And), uint8(asm.LSh), uint8(asm.RSh)
	neg, mod, xor, mov = uint8(asm.Neg), uint8(asm.Mod), uint8(asm.Xor), uint8(asm.Mov)
	arsh, swap         = uint8(asm.ArSh), uint8(asm.Swap)

	ja, eq, ne, set    = uint8(asm.Ja), uint8(asm.JEq), uint8(asm.JNE), uint8(asm.JSet)
	gt, ge, lt, le     = uint8(asm.JGT), uint8(asm.JGE), uint8(asm.JLT), uint8(asm.JLE)
	sgt, sge, slt, sle = uint8(asm.JSGT), uint8(asm.JSGE), uint8(asm.JSLT), uint8(asm.JSLE)

	b8, b16, b32, b64 = uint8(asm.Byte), uint8(asm.Half), uint8(asm.Word), uint8(asm.DWord)
)

// Run runs the program on a frame that came by an RX queue, and returns its action.
func (m *Machine) Run(frame []byte, queue uint32) (action uint32, err error) {
	m.memory[frameRegion], m.queue, m.calls = frame, queue, m.calls[:0]
	for i, t := range m.tables { // whose memory may have been another one since
		m.memory[firstMap+i] = t.values
	}
	var r [16]uint64
	r[1], r[10] = pointer(contextRegion, 0), pointer(stackRegion, stackSize)
	pc, err := m.run(&r)
	if err != nil {
		return 0, fmt.Errorf("instruction %d: %w", pc-1, err)
	}
	return uint32(r[0]), nil
}

// run goes on until the program ends. It is one loop and one switch, since a frame takes
// some hundred instructions, and a file has millions of frames.
func (m *Machine) run(r *[16]uint64) (pc int32, err error) {
	for range maxSteps {
		if uint32(pc) >= uint32(len(m.code)) {
			return pc, errors.New("the program runs over its end")
		}
		in := &m.code[pc]
		pc++
		r[constant] = in.constant
		dst, v := &r[in.dst&15], r[in.src&15]
		jump := false
		switch in.code {
		case alu | mov:
			*dst = v
		case alu | add:
			*dst += v
		case alu | sub:
			*dst -= v
		case alu | mul:
			*dst *= v
		case alu | div:
			*dst = quotient(*dst, v)
		case alu | mod:
			*dst = remainder(*dst, v)
		case alu | or:
			*dst |= v
		case alu | and:
			*dst &= v
		case alu | xor:
			*dst ^= v
		case alu | lsh:
			*dst <<= v & 63
		case alu | rsh:
			*dst >>= v & 63
		case alu | arsh:
			*dst = uint64(int64(*dst) >> (v & 63))
		case alu | neg:
			*dst = -*dst
		case alu&^sourceReg | swap, w32 | swap: // whatever the host's order; from little endian to big
			*dst = reversed(*dst, in.constant)
		case w32&^sourceReg | swap: // from little endian to little endian
			*dst &= 1<<in.constant - 1

		case w32 | mov:
			*dst = uint64(uint32(v))
		case w32 | add:
			*dst = uint64(uint32(*dst) + uint32(v))
		case w32 | sub:
			*dst = uint64(uint32(*dst) - uint32(v))
		case w32 | mul:
			*dst = uint64(uint32(*dst) * uint32(v))
		case w32 | div:
			*dst = quotient(uint64(uint32(*dst)), uint64(uint32(v)))
		case w32 | mod:
			*dst = remainder(uint64(uint32(*dst)), uint64(uint32(v)))
		case w32 | or:
			*dst = uint64(uint32(*dst) | uint32(v))
		case w32 | and:
			*dst = uint64(uint32(*dst) & uint32(v))
		case w32 | xor:
			*dst = uint64(uint32(*dst) ^ uint32(v))
		case w32 | lsh:
			*dst = uint64(uint32(*dst) << (v & 31))
		case w32 | rsh:
			*dst = uint64(uint32(*dst) >> (v & 31))
		case w32 | arsh:
			*dst = uint64(uint32(int32(*dst) >> (v & 31)))
		case w32 | neg:
			*dst = uint64(-uint32(*dst))

		case codeLoad:
			*dst = in.constant
		case ldx | b8, ldx | b16, ldx | b32, ldx | b64:
			if *dst, err = m.load(v+in.offset, in.code); err != nil {
				return pc, err
			}
		case stx | b8, stx | b16, stx | b32, stx | b64:
			if err = m.store(*dst+in.offset, v, in.code); err != nil {
				return pc, err
			}

		case jmp | ja:
			jump = true
		case jmp | eq:
			jump = *dst == v
		case jmp | ne:
			jump = *dst != v
		case jmp | set:
			jump = *dst&v != 0
		case jmp | gt:
			jump = *dst > v
		case jmp | ge:
			jump = *dst >= v
		case jmp | lt:
			jump = *dst < v
		case jmp | le:
			jump = *dst <= v
		case jmp | sgt:
			jump = int64(*dst) > int64(v)
		case jmp | sge:
			jump = int64(*dst) >= int64(v)
		case jmp | slt:
			jump = int64(*dst) < int64(v)
		case jmp | sle:
			jump = int64(*dst) <= int64(v)

		case j32 | eq:
			jump = uint32(*dst) == uint32(v)
		case j32 | ne:
			jump = uint32(*dst) != uint32(v)
		case j32 | set:
			jump = uint32(*dst)&uint32(v) != 0
		case j32 | gt:
			jump = uint32(*dst) > uint32(v)
		case j32 | ge:
			jump = uint32(*dst) >= uint32(v)
		case j32 | lt:
			jump = uint32(*dst) < uint32(v)
		case j32 | le:
			jump = uint32(*dst) <= uint32(v)
		case j32 | sgt:
			jump = int32(*dst) > int32(v)
		case j32 | sge:
			jump = int32(*dst) >= int32(v)
		case j32 | slt:
			jump = int32(*dst) < int32(v)
		case j32 | sle:
			jump = int32(*dst) <= int32(v)

		case codeCallHelper:
			if err = m.help(in.constant, r); err != nil {
				return pc, err
			}
		case codeCall:
			if err = m.call(r, pc); err != nil {
				return pc, err
			}
			jump = true
		case codeExit:
			if len(m.calls) == 0 {
				return pc, nil
			}
			pc = m.leave(r)
		}
		if jump {
			pc = in.target
		}
	}
	return pc, errors.New("the program does not end")
}

// quotient is a division, which by 0 gives 0.
func quotient(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// remainder is that of a division, which by 0 changes nothing.
func remainder(a, b uint64) uint64 {
	if b == 0 {
		return a
	}
	return a % b
}

// reversed is the lowest so many bits of v with their bytes in reverse.
func reversed(v, width uint64) uint64 {
	switch width {
	case 16:
		return uint64(bits.ReverseBytes16(uint16(v)))
	case 32:
		return uint64(bits.ReverseBytes32(uint32(v)))
	}
	return bits.ReverseBytes64(v)
}

// load reads a number at p, of the size that the code says.
func (m *Machine) load(p uint64, code uint8) (uint64, error) {
	region, offset := p>>regionShift, p&(1<<regionShift-1)
	if region == contextRegion {
		return m.loadContext(offset, code)
	}
	if region < uint64(len(m.memory)) && offset < uint64(len(m.memory[region])) {
		b := m.memory[region][offset:]
		switch size := code & sizeMask; {
		case size == b8:
			return uint64(b[0]), nil
		case size == b16 && len(b) >= 2:
			return uint64(binary.LittleEndian.Uint16(b)), nil
		case size == b32 && len(b) >= 4:
			return uint64(binary.LittleEndian.Uint32(b)), nil
		case size == b64 && len(b) >= 8:
			return binary.LittleEndian.Uint64(b), nil
		}
	}
	return 0, fmt.Errorf("%w: load at %#x of region %d", errMemory, offset, region)
}

// store writes v's lowest bytes to p.
func (m *Machine) store(p, v uint64, code uint8) error {
	region, offset := p>>regionShift, p&(1<<regionShift-1)
	if region < uint64(len(m.memory)) && offset < uint64(len(m.memory[region])) {
		b := m.memory[region][offset:]
		switch size := code & sizeMask; {
		case size == b8:
			b[0] = byte(v)
			return nil
		case size == b16 && len(b) >= 2:
			binary.LittleEndian.PutUint16(b, uint16(v))
			return nil
		case size == b32 && len(b) >= 4:
			binary.LittleEndian.PutUint32(b, uint32(v))
			return nil
		case size == b64 && len(b) >= 8:
			binary.LittleEndian.PutUint64(b, v)
			return nil
		}
	}
	return fmt.Errorf("%w: store at %#x of region %d", errMemory, offset, region)
}

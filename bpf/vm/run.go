package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf/asm"
)

// Operations of the two classes that compute, and of the two that compare.
const (
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

// run goes on until the program ends. A frame takes some hundred instructions, and a file has
// millions of frames.
func (m *Machine) run(r *[16]uint64) (pc int32, err error) {
	for range maxSteps {
		if uint32(pc) >= uint32(len(m.code)) {
			return pc, errors.New("the program runs over its end")
		}
		in := &m.code[pc]
		pc++
		r[constant] = in.constant
		dst, v := &r[in.dst&15], r[in.src&15]
		switch in.kind {
		case computes:
			*dst = compute(in.code&opMask, *dst, v)
		case computesHalf:
			*dst = uint64(computeHalf(in.code&opMask, uint32(*dst), uint32(v)))
		case swaps:
			*dst = in.swapped(*dst)
		case takes:
			*dst = in.constant
		case loads:
			*dst, err = m.load(v+in.offset, in.code)
		case stores:
			err = m.store(*dst+in.offset, v, in.code)
		case jumps:
			if compare(in.code&opMask, *dst, v) {
				pc = in.target
			}
		case jumpsHalf: // to spread the sign changes no order, be it with a sign or without
			if compare(in.code&opMask, uint64(int32(*dst)), uint64(int32(v))) {
				pc = in.target
			}
		case helps:
			err = m.help(in.constant, r)
		case calls:
			err = m.call(r, pc)
			pc = in.target
		default: // exits
			if len(m.calls) == 0 {
				return pc, nil
			}
			pc = m.leave(r)
		}
		if err != nil {
			return pc, err
		}
	}
	return pc, errors.New("the program does not end")
}

// compute is what an operation makes of two numbers.
func compute(op uint8, a, b uint64) uint64 {
	switch op {
	case mov:
		return b
	case add:
		return a + b
	case sub:
		return a - b
	case mul:
		return a * b
	case div:
		return quotient(a, b)
	case mod:
		return remainder(a, b)
	case or:
		return a | b
	case and:
		return a & b
	case xor:
		return a ^ b
	case lsh:
		return a << (b & 63)
	case rsh:
		return a >> (b & 63)
	case arsh:
		return uint64(int64(a) >> (b & 63))
	}
	return -a // neg
}

// computeHalf is compute for the lower halves. Of most operations' results the lower half goes by
// these alone.
func computeHalf(op uint8, a, b uint32) uint32 {
	switch op {
	case lsh, rsh:
		b &= 31
	case arsh:
		return uint32(int32(a) >> (b & 31))
	}
	return uint32(compute(op, uint64(a), uint64(b)))
}

// compare reports whether a jump is taken.
func compare(op uint8, a, b uint64) bool {
	switch op {
	case eq:
		return a == b
	case ne:
		return a != b
	case set:
		return a&b != 0
	case gt:
		return a > b
	case ge:
		return a >= b
	case lt:
		return a < b
	case le:
		return a <= b
	case sgt:
		return int64(a) > int64(b)
	case sge:
		return int64(a) >= int64(b)
	case slt:
		return int64(a) < int64(b)
	case sle:
		return int64(a) <= int64(b)
	}
	return true // ja
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

// swapped is the lowest so many bits of v, as the constant says, with their bytes in reverse;
// or as they are, if they are to become what a little-endian program has already.
func (in *instruction) swapped(v uint64) uint64 {
	switch stay := asm.OpCode(in.code) == asm.OpCode(asm.ALUClass).SetALUOp(asm.Swap); {
	case stay:
		return v & (1<<in.constant - 1)
	case in.constant == 16:
		return uint64(bits.ReverseBytes16(uint16(v)))
	case in.constant == 32:
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

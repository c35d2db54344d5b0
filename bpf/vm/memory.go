package vm

import (
	"errors"
	"fmt"
)

// A pointer is the number of a region in its upper and an offset in its lower half, so
// that a program's arithmetic stays within one region, and what leaves it is noticed.
// Region 0 is none: 0 is the null pointer.
const (
	regionShift = 32

	contextRegion = 1
	frameRegion   = 2
	stackRegion   = 3
	firstMap      = 4
)

// The fields of struct xdp_md that a program may read (include/uapi/linux/bpf.h). All
// have four bytes; the first two are pointers once they are loaded.
const (
	mdData    = 0
	mdDataEnd = 4
	mdQueue   = 16
)

// errMemory says that a program was where it may not be. The verifier lets no such
// program into the kernel.
var errMemory = errors.New("memory access out of bounds")

func pointer(region int, offset uint64) uint64 { return uint64(region)<<regionShift | offset }

// bytes returns the n bytes that p points to.
func (m *Machine) bytes(p uint64, n int) ([]byte, error) {
	region, offset := p>>regionShift, p&(1<<regionShift-1)
	if region < uint64(len(m.memory)) {
		if b := m.memory[region]; offset+uint64(n) <= uint64(len(b)) {
			return b[offset : offset+uint64(n)], nil
		}
	}
	return nil, fmt.Errorf("%w: %d bytes at %#x of region %d", errMemory, n, offset, region)
}

// loadContext reads a field of the program's argument.
func (m *Machine) loadContext(offset uint64, code uint8) (uint64, error) {
	switch {
	case code&sizeMask != b32:
	case offset == mdData:
		return pointer(frameRegion, 0), nil
	case offset == mdDataEnd:
		return pointer(frameRegion, uint64(len(m.memory[frameRegion]))), nil
	case offset == mdQueue:
		return uint64(m.queue), nil
	}
	return 0, fmt.Errorf("%w: load at %#x of the context", errMemory, offset)
}

package xsk

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All of the package's unsafe code: memory shared with the kernel seen as Go types,
// and socket options that are structs.

// The layouts that the casts below rely on.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Desc{})-16]
	_ = [1]struct{}{}[unsafe.Sizeof(ledgerHead{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(hand(0))-1]
)

// ringMaps are the mappings of a socket's rings, to be unmapped.
type ringMaps [][]byte

// mapRings maps the four rings of fd, each of size entries. A socket's rings can be
// mapped until it is bound, and since Linux 6.4 again after that (xsk_mmap in
// net/xdp/xsk.c).
func mapRings(fd int, size uint32) (r Rings, mapped ringMaps, err error) {
	var off unix.XDPMmapOffsets
	if err := getXDPOption(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off)); err != nil {
		return r, nil, fmt.Errorf("ring offsets: %w", err)
	}
	var maps ringMaps // its own variable: a return with an error clears the result first
	defer func() {
		if err != nil {
			err = errors.Join(err, maps.unmap())
		}
	}()
	if r.Fill, err = mapRing[uint64](&maps, fd, unix.XDP_UMEM_PGOFF_FILL_RING, off.Fr, size); err != nil {
		return r, nil, fmt.Errorf("map FILL ring: %w", err)
	}
	if r.Completion, err = mapRing[uint64](&maps, fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr, size); err != nil {
		return r, nil, fmt.Errorf("map COMPLETION ring: %w", err)
	}
	if r.RX, err = mapRing[Desc](&maps, fd, unix.XDP_PGOFF_RX_RING, off.Rx, size); err != nil {
		return r, nil, fmt.Errorf("map RX ring: %w", err)
	}
	if r.TX, err = mapRing[Desc](&maps, fd, unix.XDP_PGOFF_TX_RING, off.Tx, size); err != nil {
		return r, nil, fmt.Errorf("map TX ring: %w", err)
	}
	return r, maps, nil
}

// mapRing maps one ring and finds its parts by the offsets that the kernel gave. The
// kernel made the ring as large as they say, so the slice stays within the mapping.
func mapRing[E uint64 | Desc](maps *ringMaps, fd int, pgoff int64, off unix.XDPRingOffset, size uint32) (Ring[E], error) {
	var e E
	length := int(off.Desc) + int(size)*int(unsafe.Sizeof(e))
	m, err := unix.Mmap(fd, pgoff, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return Ring[E]{}, err
	}
	*maps = append(*maps, m)
	return Ring[E]{
		Producer: (*atomic.Uint32)(unsafe.Pointer(&m[off.Producer])),
		Consumer: (*atomic.Uint32)(unsafe.Pointer(&m[off.Consumer])),
		Flags:    (*atomic.Uint32)(unsafe.Pointer(&m[off.Flags])),
		Entries:  unsafe.Slice((*E)(unsafe.Pointer(&m[off.Desc])), size),
	}, nil
}

// unmap removes the mappings. Nothing may use the rings any more.
func (m ringMaps) unmap() error {
	var first error
	for _, b := range m {
		if err := unix.Munmap(b); err != nil && first == nil {
			first = fmt.Errorf("unmap ring: %w", err)
		}
	}
	return first
}

// ledgerAt lays a ledger over b, which has ledgerSize(frames) bytes and is aligned to
// 4 at least: mapped memory, or plainLedger's.
func ledgerAt(b []byte, frames uint32) ledger {
	hands := b[unsafe.Sizeof(ledgerHead{}):]
	stack := hands[alignUp(int(frames), 64):][:4*frames]
	return ledger{
		ledgerHead: (*ledgerHead)(unsafe.Pointer(&b[0])),
		hands:      unsafe.Slice((*hand)(&hands[0]), frames),
		stack:      unsafe.Slice((*uint32)(unsafe.Pointer(&stack[0])), frames),
	}
}

// plainLedger returns memory for a ledger that no other process needs.
func plainLedger(frames uint32) []byte {
	words := make([]uint64, alignUp(ledgerSize(frames), 8)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
}

// registerUMEM gives memory to the socket as frames, with received packets so spread
// over them. The kernel pins the pages there and then.
func registerUMEM(fd int, memory []byte, frameSize uint32, spread uint64) error {
	reg := unix.XDPUmemReg{
		Addr:     uint64(uintptr(unsafe.Pointer(&memory[0]))),
		Len:      uint64(len(memory)),
		Size:     frameSize,
		Headroom: uint32(spread),
	}
	if spread != 0 {
		reg.Flags = unix.XDP_UMEM_UNALIGNED_CHUNK_FLAG
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// getStatistics reads XDP_STATISTICS.
func getStatistics(fd int) (KernelStatistics, error) {
	// Zero where the kernel is older than a field.
	var k unix.XDPStatistics
	if err := getXDPOption(fd, unix.XDP_STATISTICS, unsafe.Pointer(&k), unsafe.Sizeof(k)); err != nil {
		return KernelStatistics{}, err
	}
	return KernelStatistics{
		RxDropped:     k.Rx_dropped,
		RxInvalid:     k.Rx_invalid_descs,
		TxInvalid:     k.Tx_invalid_descs,
		RxRingFull:    k.Rx_ring_full,
		FillRingEmpty: k.Rx_fill_ring_empty_descs,
		TxRingEmpty:   k.Tx_ring_empty_descs,
	}, nil
}

// isZeroCopy reads XDP_OPTIONS.
func isZeroCopy(fd int) (bool, error) {
	var flags uint32
	err := getXDPOption(fd, unix.XDP_OPTIONS, unsafe.Pointer(&flags), unsafe.Sizeof(flags))
	return flags&unix.XDP_OPTIONS_ZEROCOPY != 0, err
}

// getXDPOption reads an option into the struct of size bytes at p. An older kernel may
// know fewer of its fields, and leaves the others alone.
func getXDPOption(fd, option int, p unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(p), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// unmapRange removes the mapping at the addresses from start to end, which Go never
// knew as a slice.
func unmapRange(start, end uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_MUNMAP, start, end-start, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

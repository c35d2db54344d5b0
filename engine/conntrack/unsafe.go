package conntrack

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// slab returns memory for n records, resident and zero: a packet that is the first to
// touch a page would wait until the kernel has cleared it. The kernel is asked for huge
// pages: of millions of records in random order each is else a miss of the TLB too. Where
// it has none, or is older than Linux 5.14 and can't fill pages in advance, small and late
// ones will do.
func slab[T any](n int) []T {
	const huge = 2 << 20
	s := make([]T, n)
	if size := uintptr(n) * unsafe.Sizeof(s[0]); size >= 2*huge {
		start := uintptr(unsafe.Pointer(&s[0]))
		skip := -start & (huge - 1)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), size)
		b = b[skip:][:(size-skip)&^(huge-1)]
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
		_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE)
	}
	return s
}

type cacheLine [64]byte

// recordsOf returns the start of a slab whose records are a cache line each.
func recordsOf[T Flow | addresses](slab []T) *cacheLine {
	return (*cacheLine)(unsafe.Pointer(&slab[0]))
}

// The layouts that recordsOf and the assembly rely on.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Flow{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(addresses{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(set8{})-64]
)

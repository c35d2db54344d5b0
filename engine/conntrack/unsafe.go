package conntrack

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// slab returns memory for n records, zero and not resident until it is used. The kernel
// is asked for huge pages: of millions of records in random order each is else a miss of
// the TLB too. Where it has none, or does not want to, small ones will do.
func slab[T any](n int) []T {
	const huge = 2 << 20
	s := make([]T, n)
	if size := uintptr(n) * unsafe.Sizeof(s[0]); size >= 2*huge {
		start := uintptr(unsafe.Pointer(&s[0]))
		skip := -start & (huge - 1)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), size)
		_ = unix.Madvise(b[skip:skip+(size-skip)&^(huge-1)], unix.MADV_HUGEPAGE)
	}
	return s
}

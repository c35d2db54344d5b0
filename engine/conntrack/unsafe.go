package conntrack

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// slab returns memory for n records, zero. The kernel is asked for huge pages: of millions
// of records in random order each is else a miss of the TLB too. Where it has none, small
// ones will do.
func slab[T any](n int) []T {
	s := make([]T, n)
	if size := uintptr(n) * unsafe.Sizeof(s[0]); size >= 2*hugePage {
		_ = unix.Madvise(pages(s, hugePage), unix.MADV_HUGEPAGE)
	}
	return s
}

// populate makes records resident: a packet that is the first to touch a page would wait
// until the kernel has cleared it. It is the only loss on kernels that can't fill pages in
// advance (before Linux 5.14), or on a machine that is short of memory.
func populate[T any](s []T) {
	if b := pages(s, uintptr(unix.Getpagesize())); len(b) != 0 {
		_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE)
	}
}

// pages returns the memory of those pages of a size that lie in s entirely.
func pages[T any](s []T, size uintptr) []byte {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), uintptr(len(s))*unsafe.Sizeof(s[0]))
	skip := -uintptr(unsafe.Pointer(&s[0])) & (size - 1)
	if skip >= uintptr(len(b)) {
		return nil
	}
	b = b[skip:]
	return b[:uintptr(len(b))&^(size-1)]
}

type cacheLine [64]byte

// lineOf returns the cache line, or the half of one, that a record is.
func lineOf[T Flow | addresses | detail](record *T) *cacheLine {
	return (*cacheLine)(unsafe.Pointer(record))
}

// The layouts that lineOf and the assembly rely on.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Flow{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(addresses{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(set8{})-64]
)

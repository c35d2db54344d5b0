package conntrack

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// The records and the caches are outside of Go's heap: the collector, which runs when
// the heap has doubled, would else let a program with a gigabyte of them take another one
// for its garbage.

// region is memory of n bytes, zero, that begins with a huge page: that of a file, or if
// file is nil nobody else's. It panics if there is none, as make does. It is to be given
// back by unmap.
func region(n uintptr, file *os.File) unsafe.Pointer {
	// A reservation that is larger by a huge page has room for one that is aligned.
	base, err := unix.MmapPtr(-1, 0, nil, n+hugePage, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Errorf("map %d bytes for flows: %w", n, err))
	}
	skip := -uintptr(base) & (hugePage - 1)
	start, fd, flags := unsafe.Add(base, skip), -1, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS
	if file != nil {
		fd, flags = int(file.Fd()), unix.MAP_SHARED
	}
	if _, err := unix.MmapPtr(fd, 0, start, n, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED); err != nil {
		panic(fmt.Errorf("map %d bytes for flows: %w", n, err))
	}
	if skip > 0 {
		unmap(base, skip)
	}
	unmap(unsafe.Add(start, n), hugePage-skip)
	return start
}

// unmap gives memory back. It fails only for what was never mapped.
func unmap(start unsafe.Pointer, n uintptr) { _ = unix.MunmapPtr(start, n) }

// slab returns memory for n records, zero. It is given back when nobody can reach owner
// any more.
func slab[T, O any](owner *O, n int) []T {
	size := roundUp(uintptr(n)*unsafe.Sizeof(*new(T)), uintptr(unix.Getpagesize()))
	start := region(size, nil)
	runtime.AddCleanup(owner, func(n uintptr) { unmap(start, n) }, size)
	return unsafe.Slice((*T)(start), n)
}

// flowSlabs is slab for n flows and their details. Their memory is that of a memfd, which
// another process can map too, and so take the flows over.
func flowSlabs[O any](owner *O, n int) (flows []Flow, details []detail, file *os.File) {
	fd, err := unix.MemfdCreate("afxlb-flows", unix.MFD_CLOEXEC)
	if err != nil {
		panic(fmt.Errorf("create a memfd for flows: %w", err))
	}
	file = os.NewFile(uintptr(fd), "memfd of the flows")
	at := roundUp(uintptr(n)*unsafe.Sizeof(Flow{}), hugePage)
	size := at + roundUp(uintptr(n)*unsafe.Sizeof(detail{}), hugePage)
	if err := file.Truncate(int64(size)); err != nil {
		panic(fmt.Errorf("make room for %d flows in a memfd: %w", n, err))
	}
	start := region(size, file)
	runtime.AddCleanup(owner, func(n uintptr) { unmap(start, n) }, size)
	return unsafe.Slice((*Flow)(start), n), unsafe.Slice((*detail)(unsafe.Add(start, at)), n), file
}

func roundUp(n, to uintptr) uintptr { return (n + to - 1) &^ (to - 1) }

// populate makes records that nobody has used resident: a packet that is the first to touch
// a page would wait until the kernel has cleared it. Of millions of records in random
// order each is else a miss of the TLB too, so they are on huge pages where there are any:
// MADV_COLLAPSE (Linux 6.1) makes them of a memfd's memory as well, for which most machines
// have none else. What fails costs time only: on old kernels (before 5.14 pages can't be
// filled in advance), or on a machine that is short of memory.
func populate[T any](s []T) {
	if b := pages(s, hugePage); len(b) != 0 {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
		for i := 0; i < len(b); i += hugePage {
			b[i] = 0 // one page is there, the kernel clears the others
		}
		_ = unix.Madvise(b, unix.MADV_COLLAPSE)
	}
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

// lineOf returns the cache line, or the part of one, that a record is.
func lineOf[T Flow | addresses | detail | atomic.Uint64](record *T) *cacheLine {
	return (*cacheLine)(unsafe.Pointer(record))
}

// The layouts that lineOf and the assembly rely on.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Flow{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(addresses{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(set8{})-64]
)

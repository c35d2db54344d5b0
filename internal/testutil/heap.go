package testutil

import (
	"math"
	"runtime"
)

// LiveHeap returns how many bytes of the heap are in use, after collections that find
// nothing more to free: what a pool holds, or has a finalizer, outlives the first one,
// and what a test before this one left behind would be taken for what this one frees.
// It is signed, as the difference of two of them is: the heap may have shrunk.
func LiveHeap() int64 {
	live := int64(math.MaxInt64)
	for range 10 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if now := int64(m.HeapAlloc); now < live {
			live = now
		} else {
			break
		}
	}
	return live
}

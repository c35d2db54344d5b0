package testutil

import (
	"runtime"
	"sync"
	"testing"
)

// What was left in a pool does not make the heap shrink under a test that measures.
func TestLiveHeap(t *testing.T) {
	const size = 1 << 20
	var pool sync.Pool
	pool.Put(new([size]byte))
	before := LiveHeap()
	kept := make([]byte, size)
	if grew := LiveHeap() - before; grew < size*9/10 || grew > size*11/10 {
		t.Errorf("%d bytes more after %d were allocated", grew, size)
	}
	runtime.KeepAlive(kept)
	if grew := LiveHeap() - before; grew > size/10 || grew < -size/10 {
		t.Errorf("%d bytes more after they were let go", grew)
	}
}

package rig

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pin locks the goroutine to its thread and the thread to a CPU: the last one for the
// first worker, and so on, as the engine places them. A thread that is locked and not
// unlocked ends with its goroutine. With more workers than CPUs nothing is pinned.
func pin(worker int) error {
	runtime.LockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &all); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	var allowed []int
	for cpu := range len(all) * strconv.IntSize {
		if all.IsSet(cpu) {
			allowed = append(allowed, cpu)
		}
	}
	if worker >= len(allowed) {
		return nil
	}
	var one unix.CPUSet
	one.Set(allowed[len(allowed)-1-worker])
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", allowed[len(allowed)-1-worker], err)
	}
	return nil
}

// allocs is what the process has allocated since its start.
type allocs struct{ bytes, objects uint64 }

func readAllocs() allocs {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	return allocs{s[0].Value.Uint64(), s[1].Value.Uint64()}
}

// heap is the memory in use after a collection.
type heap struct {
	live     uint64 // bytes of objects
	scan     uint64 // bytes of it that a collection must look through
	resident uint64 // of the process
}

func readHeap() (heap, error) {
	runtime.GC()
	debug.FreeOSMemory() // what maps left behind as they grew is nobody's
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(s)
	resident, err := residentBytes()
	return heap{s[0].Value.Uint64(), s[1].Value.Uint64(), resident}, err
}

// residentBytes is from /proc/self/statm, see proc_pid_statm(5).
func residentBytes() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read resident memory: statm holds %q", b)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

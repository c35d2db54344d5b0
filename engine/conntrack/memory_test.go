package conntrack

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/testutil"
)

// The collector lets the heap double before it runs: what is on it costs twice.
func TestRecordsAreOffTheHeap(t *testing.T) {
	const flows = 200_000
	before := testutil.LiveHeap()
	tab, cache := newTable(flows, 1), NewCache(2*flows)
	per := (testutil.LiveHeap() - before) / flows
	if index := int64(40); per > index {
		t.Errorf("%d bytes a flow are on the heap, want no more than the %d of the index", per, index)
	}
	runtime.KeepAlive(tab)
	runtime.KeepAlive(cache)
}

// Slabs are zero, begin with a huge page, and overlap nothing.
func TestSlabs(t *testing.T) {
	type record [48]byte
	var owner struct{ slabs [8][]record }
	for i := range owner.slabs {
		s := slab[record](&owner, 1000+i*100_000)
		for j := range s {
			if s[j] != (record{}) {
				t.Fatalf("slab %d: record %d is not zero", i, j)
			}
			s[j][0], s[j][47] = byte(i), byte(i)
		}
		owner.slabs[i] = s
	}
	for i, s := range owner.slabs {
		for j := range s {
			if s[j] != (record{0: byte(i), 47: byte(i)}) {
				t.Fatalf("slab %d: record %d was written to", i, j)
			}
		}
		populate(s[1:])
	}
	runtime.KeepAlive(&owner)
}

// A table that nobody uses any more gives its memory back.
func TestMemoryIsGivenBack(t *testing.T) {
	const tables = 20
	mapped := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(maps, []byte("memfd:afxlb-flows"))
	}
	func() {
		var all []*Table
		for range tables {
			all = append(all, newTable(100, 1))
		}
		if n := mapped(); n < tables {
			t.Errorf("%d tables have %d mappings", tables, n)
		}
		runtime.KeepAlive(all)
	}()
	for round := 0; mapped() >= tables; round++ { // cleanups run on a goroutine of their own
		if round == 1000 {
			t.Fatalf("%d mappings are left of %d tables", mapped(), tables)
		}
		runtime.GC()
	}
}

// So does the memory of a cache, and of addresses.
func TestSlabIsGivenBack(t *testing.T) {
	var at uint64
	func() {
		owner := new([8]int)
		var err error
		if at, err = strconv.ParseUint(fmt.Sprintf("%p", &slab[set8](owner, 1<<16)[0])[2:], 16, 64); err != nil {
			t.Fatal(err)
		}
		if !isMapped(t, at) {
			t.Errorf("%#x is not mapped", at)
		}
		runtime.KeepAlive(owner)
	}()
	for round := 0; isMapped(t, at); round++ {
		if round == 1000 {
			t.Fatalf("%#x is still mapped", at)
		}
		runtime.GC()
	}
}

// isMapped reports whether there is memory at an address.
func isMapped(t *testing.T, at uint64) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if from <= at && at < to {
			return true
		}
	}
	return false
}

// Whoever has the memfd can map the same flows.
func TestFlowsCanBeMappedByAnother(t *testing.T) {
	tab := newTable(100, 1)
	flow := newFlow(2, packet.ProtoTCP)
	r := mustInsert(t, tab, flow, 0)
	info, err := tab.memory.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(tab.memory.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}()
	line := lineOf(tab.Flow(r))
	if at := 64 * int(r.index()); !bytes.Equal(b[at:at+64], line[:]) {
		t.Errorf("the flow is %x, seen by the other mapping %x", *line, b[at:at+64])
	}
}

package doctor

import (
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

func TestMemoryLimit(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		limit uint64
		file  string
		ok    bool
	}{
		"no control groups": {map[string]string{}, 0, "", false},
		"version 2, no limit": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/afxlb.service\n", "sys/fs/cgroup/system.slice/afxlb.service/memory.max": "max\n",
		}, 0, "", false},
		"version 2, own limit": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/afxlb.service\n", "sys/fs/cgroup/system.slice/afxlb.service/memory.max": "134217728\n",
			"sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 134217728, "/sys/fs/cgroup/system.slice/afxlb.service/memory.max", true},
		"version 2, lower above": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "2000\n", "sys/fs/cgroup/a/memory.max": "1000\n",
		}, 1000, "/sys/fs/cgroup/a/memory.max", true},
		"in a container, by the host's path": {map[string]string{
			"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.max": "3000\n",
		}, 3000, "/sys/fs/cgroup/memory.max", true},
		"version 1": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/lb\n0::/\n",
			"sys/fs/cgroup/memory/lb/memory.limit_in_bytes": "67108864\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 67108864, "/sys/fs/cgroup/memory/lb/memory.limit_in_bytes", true},
		"nonsense": {map[string]string{"proc/self/cgroup": "::::\n\n0\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0, "", false},
	} {
		files := fstest.MapFS{}
		for path, text := range c.files {
			files[path] = &fstest.MapFile{Data: []byte(text)}
		}
		if limit, file, ok := memoryLimit(files); limit != c.limit || file != c.file || ok != c.ok {
			t.Errorf("%s: %d by %q, %v; want %d by %q, %v", name, limit, file, ok, c.limit, c.file, c.ok)
		}
	}
}

// Frames of zero-copy are larger, and auto may come to it unless the driver says that it
// does not.
func TestMemoryNeed(t *testing.T) {
	for name, c := range map[string]struct {
		mode      xsk.Mode
		frame     uint32
		nic       nic.State
		queues    int
		flows     int
		low, high uint64
	}{
		// As measured: 218 MB and 48 MB.
		"two queues, a million flows": {xsk.ModeAuto, 0, nic.State{MTU: 1500, NoZeroCopy: true}, 2, 1_000_000, 218e6, 235e6},
		"one queue":                   {xsk.ModeAuto, 0, nic.State{MTU: 1500, NoZeroCopy: true}, 1, 100_000, 50e6, 62e6},
		"copy is asked for":           {xsk.ModeCopy, 0, nic.State{MTU: 1500}, 1, 100_000, 48e6, 60e6},
		"maybe zero-copy":             {xsk.ModeAuto, 0, nic.State{MTU: 1500}, 4, 100_000, 185e6, 200e6}, // and a copy's frames beside a vain attempt's
		"zero-copy":                   {xsk.ModeZeroCopy, 0, nic.State{MTU: 1500}, 4, 100_000, 170e6, 190e6},
		"copy with a large MTU":       {xsk.ModeCopy, 0, nic.State{MTU: 3000}, 4, 100_000, 170e6, 190e6},
		"larger frames":               {xsk.ModeCopy, 4096, nic.State{MTU: 1500}, 4, 100_000, 170e6, 190e6},
		"smaller frames":              {xsk.ModeZeroCopy, 2048, nic.State{MTU: 1000}, 4, 100_000, 100e6, 115e6},
		"too large for zero-copy":     {xsk.ModeAuto, 0, nic.State{MTU: 3500}, 4, 100_000, 200e6, 220e6},
		"jumbo frames":                {xsk.ModeCopy, 0, nic.State{MTU: 9000}, 4, 100_000, 178e6, 200e6},
	} {
		n := NeedOf(&engine.Config{Mode: c.mode, FrameSize: c.frame, MaxFlows: c.flows}, &balancer.Spec{}, &c.nic, c.queues)
		if c.mode == xsk.ModeAuto && n.Locked != uint64(c.queues)*xsk.FrameMemory(c.nic.MTU, xsk.ModeCopy, c.frame) {
			t.Errorf("%s: %d MB are locked at least", name, n.Locked/1e6)
		}
		if n.Resident < c.low || n.Resident > c.high || n.Locked >= n.Resident {
			t.Errorf("%s: %d MB, %d MB of them locked; want %d to %d", name, n.Resident/1e6, n.Locked/1e6, c.low/1e6, c.high/1e6)
		}
	}
}

// The limit on locked memory is named before anything is touched.
func TestLockedMemory(t *testing.T) {
	n := Need{queues: 2, Locked: 1 << 60}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	err := n.WithinLock()
	if free := mayLock() || limit.Cur == unix.RLIM_INFINITY; free != (err == nil) || err != nil && !strings.Contains(err.Error(), "RLIMIT_MEMLOCK") {
		t.Errorf("with a limit of %d, unlimited %v: %v", limit.Cur, free, err)
	}
}

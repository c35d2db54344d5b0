package daemon

import (
	"testing"
	"testing/fstest"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
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

func TestMemoryNeed(t *testing.T) {
	// As measured: 218 MB for two queues and a million flows, 48 MB for one and 100,000.
	for _, c := range []struct {
		queues, flows int
		low, high     uint64
	}{{2, 1_000_000, 210e6, 240e6}, {1, 100_000, 48e6, 60e6}} {
		got := memoryNeed(&engine.Config{Queues: make([]int, c.queues), MaxFlows: c.flows}, &balancer.Spec{})
		if got < c.low || got > c.high {
			t.Errorf("%d queues, %d flows: %d MB", c.queues, c.flows, got/1e6)
		}
	}
}

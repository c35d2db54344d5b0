package daemon

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
)

// What the balancer's memory goes to, measured at its start: frames and rings of each
// queue, the flow table with its index and caches, and all else.
const (
	bytesPerQueue = 17 << 20
	bytesPerFlow  = 170
	// bytesPerBackend are those of 20,000 backends in 1,000 services, with what a reload
	// takes for a moment.
	bytesPerBackend = 12 << 10
	bytesBesides    = 20 << 20
)

// memoryNeed returns how much memory is resident from the start. It hardly grows later:
// by a quarter of the flow table in a flood of half-open flows, and by 64 bytes for
// each flow of IPv6.
func memoryNeed(c *engine.Config, spec *balancer.Spec) uint64 {
	backends := 0
	for i := range spec.Services {
		backends += len(spec.Services[i].Backends)
	}
	return uint64(len(c.Queues))*bytesPerQueue + uint64(c.MaxFlows)*bytesPerFlow + uint64(backends)*bytesPerBackend + bytesBesides
}

// enoughMemory holds the need against the limits of the control groups that the process
// is in: who goes over one is killed by the kernel without a word.
func enoughMemory(need uint64, c *engine.Config) error {
	limit, group, ok := memoryLimit(os.DirFS("/"))
	if !ok || need <= limit {
		return nil
	}
	return MachineError{Err: fmt.Errorf("the memory limit of %s is too low: it is %d MB, and %d queues and %d flows take %d MB: raise it, or lower conntrack.max-flows",
		group, limit/1e6, len(c.Queues), c.MaxFlows, need/1e6)}
}

// memoryLimit returns the lowest memory limit of the process's control groups, of
// either version (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst),
// and the file that says it; ok is false without any.
func memoryLimit(root fs.FS) (limit uint64, file string, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, "", false
	}
	for line := range strings.Lines(string(groups)) {
		id, controllers, group := cut3(strings.TrimSpace(line))
		base, name := "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		switch {
		case id == "0" && controllers == "":
			base, name = "sys/fs/cgroup", "memory.max"
		case controllers != "memory":
			continue
		}
		// The group's own limit and those above it hold. In a container the path is often
		// the host's, and the group itself is at the root of what can be seen.
		for g := path.Clean("/" + group); ; g = path.Dir(g) {
			at := path.Join(base, g, name)
			if n, err := readLimit(root, at); err == nil && (!ok || n < limit) {
				limit, file, ok = n, "/"+at, true
			}
			if g == "/" {
				break
			}
		}
	}
	return limit, file, ok
}

// cut3 splits a line of /proc/self/cgroup: hierarchy, controllers and path.
func cut3(line string) (id, controllers, group string) {
	id, rest, _ := strings.Cut(line, ":")
	controllers, group, _ = strings.Cut(rest, ":")
	return id, controllers, group
}

// readLimit reads a limit in bytes; "max" is an error, as none is set then.
func readLimit(root fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// What the balancer's memory goes to beside the frames, measured at its start: the rings
// and ledger of each queue, the flow table with its index and caches, and all else.
const (
	bytesPerQueue = 1 << 20
	bytesPerFlow  = 170
	// bytesPerBackend are those of 20,000 backends in 1,000 services, with what a reload
	// takes for a moment.
	bytesPerBackend = 12 << 10
	bytesBesides    = 20 << 20
)

// Need is how much memory serving takes.
type Need struct {
	queues, flows int
	// Resident is from the start. It hardly grows later: by a quarter of the flow table in a
	// flood of half-open flows, and by 64 bytes for each flow of IPv6.
	Resident uint64
	Locked   uint64 // of these, in frames, at least
}

// NeedOf returns what serving a spec takes with so many queues of interfaces of which now is the one with the
// largest frames.
func NeedOf(c *engine.Config, spec *balancer.Spec, now *nic.State, queues int) Need {
	backends := 0
	for i := range spec.Services {
		backends += len(spec.Services[i].Backends)
	}
	copied, zeroCopy := xsk.FrameMemory(now.MTU, xsk.ModeCopy, c.FrameSize), xsk.FrameMemory(now.MTU, xsk.ModeZeroCopy, c.FrameSize)
	frames, least, attempt := copied, copied, uint64(0)
	switch {
	case c.Mode == xsk.ModeZeroCopy:
		frames, least = zeroCopy, zeroCopy
	case c.Mode == xsk.ModeAuto && !now.NoZeroCopy:
		frames, attempt = zeroCopy, copied // what is tried in vain is not let go of at once
	}
	n, ports := uint64(queues), uint64(engine.Room(max(len(c.Interfaces), 1), c.Grows))
	frames, least = frames*(1+ports)/2, least*(1+ports)/2 // as engine has it of sockets that share frames
	if c.Joins(now, "") {
		frames += xsk.LongMemory
	}
	return Need{
		queues: queues, flows: c.MaxFlows, Locked: n * least,
		Resident: n*(frames+ports*bytesPerQueue) + attempt + uint64(c.MaxFlows)*bytesPerFlow + uint64(backends)*bytesPerBackend + bytesBesides,
	}
}

// WithinGroup holds the need against the limits of the control groups that the process
// is in: who goes over one is killed by the kernel without a word.
func (n *Need) WithinGroup() error {
	limit, group, ok := memoryLimit(os.DirFS("/"))
	if !ok || n.Resident <= limit {
		return nil
	}
	return MachineError{Err: fmt.Errorf("the memory limit of %s is too low: it is %d MB, and %d queues and %d flows take %d MB: "+
		"raise it, or lower conntrack.max-flows", group, limit/1e6, n.queues, n.flows, n.Resident/1e6)}
}

// WithinLock holds the need against the limit on locked memory, in which the kernel counts
// frames (xdp_umem_account_pages of net/xdp/xdp_umem.c).
func (n *Need) WithinLock() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("read the limit on locked memory: %w", err)
	}
	if n.Locked <= limit.Cur || mayLock() {
		return nil
	}
	return MachineError{Err: fmt.Errorf("the locked-memory limit is too low: RLIMIT_MEMLOCK is %d MB, and the frames of %d queues take %d MB: "+
		"raise it (ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK", limit.Cur/1e6, n.queues, n.Locked/1e6)}
}

// mayLock reports whether the process has CAP_IPC_LOCK, and so no such limit.
func mayLock() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0
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

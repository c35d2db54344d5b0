package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// startBy starts afxlb by way of a shell, which runs a command first.
func (w *world) startBy(first string, args ...string) *process {
	w.t.Helper()
	return w.startApart(nil, first, args...)
}

// startApart is startBy with a process that is set apart from others.
func (w *world) startApart(attr *syscall.SysProcAttr, first string, args ...string) *process {
	w.t.Helper()
	p := w.newProcess(attr)
	p.Cmd.Path = "/bin/sh"
	p.Cmd.Args = append([]string{"sh", "-c", first + ` && exec "$AFXLB_TEST_EXE" "$@"`, "sh"}, args...)
	if args[0] != "check" {
		p.Cmd.Args = append(p.Cmd.Args, "--socket", p.socket)
	}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p.Cmd.Env = append(p.Cmd.Env, "AFXLB_TEST_EXE="+exe)
	p.launch(w, args)
	return p
}

// C14: with few descriptors and most backends dead, the balancer's own shortage takes
// no healthy backend out, and keeps it from no start.
func TestFieldFewDescriptors(t *testing.T) {
	w := newWorld(t)
	const healthy, dead = 50, 100
	nl := w.lab.Balancer.Netlink()
	link, err := nl.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := w.lab.Backends[1].Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	fmt.Fprintf(&config, "  - {name: web, address: %s, port: %d, %s backends: [", natVIP4, port,
		"health: {type: tcp, interval: 300ms, timeout: 300ms, rise: 1, fall: 2},")
	for i := range healthy + dead {
		a := lab.BackendAddr(20 + i)
		if i < healthy {
			if err := w.lab.Backends[0].AddAddrs(lab.Interface, netip.PrefixFrom(a, 24)); err != nil {
				t.Fatal(err)
			}
		} else { // packets for it get to a host that is not it, and answers nothing
			n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: silent.Attrs().HardwareAddr}
			if err := nl.NeighSet(n); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&config, "{name: n%d, address: %s}, ", i, a)
	}
	config.WriteString("]}\n")
	path := w.writeConfig("afxlb.yaml", config.String())
	p := w.startBy("ulimit -n 80", "--config", path)
	p.await("know all", func(s api.Status) bool { return s.Backends.Up == healthy && p.lines("backend is down") == dead })
	p.stays(3e9, "as it is", func(s api.Status) bool { return s.Backends.Up == healthy })
	w.mustAnswer(healthy, natVIP4)
	for i := range healthy {
		if p.lines(fmt.Sprintf(`backend is down.*"backend": "n%d"`, i)) != 0 {
			t.Errorf("the healthy n%d was called down", i)
		}
	}
	if n := p.lines("too many open files"); n != 0 {
		t.Errorf("%d lines tell of a shortage that need not be", n)
	}
	p.stop()

	p = w.startBy("ulimit -n 20", "--config", path)
	if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), "RLIMIT_NOFILE is 20") || w.attached() {
		t.Errorf("with 20 descriptors: exit code %d, want %d and the limit's name:\n%s", code, exitMachine, p.output())
	}
}

// A shortage that comes while the balancer runs is told as what it is.
func TestFieldDescriptorsRunOut(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// Two are left, for the status: a client of it at the same time as a probe has none.
	limit := unix.Rlimit{Cur: 10, Max: 20000}
	var old unix.Rlimit
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &limit, &old); err != nil {
		t.Fatal(err)
	}
	if len(open) < 10 {
		t.Fatalf("only %d descriptors are open", len(open))
	}
	p.awaitLines(1, "ERROR.*probes fail for a reason of this machine's own")
	w.mustAnswer(6, natVIP4)
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	s := p.status()
	if s.Backends.Up != 3 || p.lines("backend is (down|unreachable)") != 0 {
		t.Errorf("%d of 3 are up after the balancer's own trouble", s.Backends.Up)
	}
	p.await("see the end of it", func(api.Status) bool { return p.lines("WARN.*over: probes fail") == 1 })
	p.stop()
}

// C44: what a container keeps back is named. The README's capabilities are enough where
// it says so, and not by chance.
func TestFieldContainerLimits(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON", "LimitMEMLOCK", "CAP_IPC_LOCK"} {
		if !regexp.MustCompile(`privileges \|.*` + want).Match(readme) {
			t.Errorf("the README's row of privileges does not name %s", want)
		}
	}
	four := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_BPF, unix.CAP_PERFMON}
	p := w.startLimited(config, four)
	if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), "locked-memory limit") {
		t.Errorf("with 8 MiB to lock: exit code %d\n%s", code, p.output())
	}
	// Root of a user namespace has all capabilities, and yet none that count.
	one := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	p = w.start(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one(os.Getuid()), GidMappings: one(os.Getgid())}, "--config", config)
	if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), "user namespace") {
		t.Errorf("in a user namespace: exit code %d\n%s", code, p.output())
	}
	p = w.startLimited(config, append(four, unix.CAP_IPC_LOCK))
	p.await("serve with the README's capabilities", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	w.mustAnswer(3, natVIP4)
	p.stop()
}

// startLimited starts afxlb as nobody, with these capabilities and the usual limit on
// locked memory.
func (w *world) startLimited(config string, capabilities []uintptr) *process {
	w.t.Helper()
	return w.launchLimited(capabilities, func(attr *syscall.SysProcAttr) *process { return w.start(attr, "--config", config) })
}

// memlock is held while the test's own limit on locked memory is another one: processes get
// it from here, and so would those of a test beside this one.
var memlock sync.Mutex

// launchLimited has launch start a process so.
func (w *world) launchLimited(capabilities []uintptr, launch func(*syscall.SysProcAttr) *process) *process {
	w.t.Helper()
	w.letAnybodyIn()
	memlock.Lock()
	defer memlock.Unlock()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		w.t.Fatal(err)
	}
	usual := unix.Rlimit{Cur: min(8<<20, old.Max), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &usual); err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
			w.t.Fatal(err)
		}
	}()
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	return launch(&syscall.SysProcAttr{Credential: nobody, AmbientCaps: capabilities})
}

// A control group's memory limit that is too low is named, where the kernel would kill
// the process without a word.
func TestFieldMemoryLimit(t *testing.T) {
	limit := 80 << 20  // 73 MB are what it says it takes
	if testutil.Race { // which takes 60 MB more, of which the balancer knows nothing
		limit = 150 << 20
	}
	w := newWorld(t)
	group := newMemoryGroup(t, limit)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	p := w.startBy("echo $$ > "+filepath.Join(group, "cgroup.procs"), "--config", config)
	if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), "memory limit") || !strings.Contains(p.output(), "conntrack.max-flows") {
		t.Errorf("in %d MiB: exit code %d\n%s", limit>>20, code, p.output())
	}
	config = w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), "conntrack: {max-flows: 100000}\n")
	p = w.startBy("echo $$ > "+filepath.Join(group, "cgroup.procs"), "--config", config)
	p.await("serve within the limit with fewer flows", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	p.stop()
}

// moveTo puts the process into a control group. What it has stays where it was counted.
func (p *process) moveTo(group string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(p.Process.Pid)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// A reload that asks for more memory than there is changes nothing, as the next start by
// the same file would be refused; one that asks for no more is none of the limit's business. A
// capture, which takes more, is refused as well.
func TestFieldReloadBeyondTheMemoryLimit(t *testing.T) {
	w := newWorld(t)
	group := newMemoryGroup(t, 64<<20)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	p := w.serve(config)
	p.moveTo(group)
	p.reload()
	w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), service("more", natVIP6, "nat", "tcp", quickHealth))
	for range 2 {
		code, _, stderr := cli("reload", "--socket", p.socket)
		if code != exitMachine || !strings.Contains(stderr, "the memory limit of") {
			t.Errorf("exit code %d, %q", code, stderr)
		}
	}
	code, _, stderr := cli("capture", "--time", "10ms", "-w", filepath.Join(t.TempDir(), "f"), "--socket", p.socket)
	if code != exitMachine || !strings.Contains(stderr, "no room for a capture of 29 MB: the memory limit of") {
		t.Errorf("capture: exit code %d, %q", code, stderr)
	}
	if s := p.status(); s.Services.Total != 1 || !strings.Contains(warned(s, "reload"), "the memory limit of") {
		t.Errorf("%d services, and %q", s.Services.Total, warned(s, "reload"))
	}
	p.moveTo(filepath.Dir(group))
	p.reload()
	w.mustAnswer(3, natVIP6)
	p.stop()
}

// An MTU that wants larger frames than there is memory for, set at run time, is no reason
// to serve nothing: what is lost is told, and it is over when there is memory.
func TestFieldMTUBeyondTheMemoryLimit(t *testing.T) {
	w := newWorld(t)
	group := newMemoryGroup(t, 64<<20)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--xdp-mode", "generic")
	p.moveTo(group)
	w.setMTUs(3000)
	s := p.await("tell of what is lost", func(s api.Status) bool { return s.State == "degraded" || s.State == "waiting" })
	if text := warned(s, "mtu"); s.State != "degraded" || !strings.Contains(text, "there are no larger frames: the memory limit of") {
		t.Errorf("%s (%s), %q", s.State, s.Reason, text)
	}
	w.mustAnswer(10, natVIP4)
	p.moveTo(filepath.Dir(group))
	p.await("have larger frames", func(s api.Status) bool {
		return s.State == "serving" && s.Backends.Up == 3 && s.Workers[0].Frames.Size == 4096 && warned(s, "mtu") == ""
	})
	w.mustAnswer(10, natVIP4)
	p.stop()
}

// Likewise with queues that come, among them TX queues for those that had none: what is
// served stays, in its slower way, until there is memory for all.
func TestFieldTXQueuesBeyondTheMemoryLimit(t *testing.T) {
	w := newWorld(t)
	w.plug(6, 2, 1)
	group := newMemoryGroup(t, 64<<20)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	p.moveTo(group)
	w.setQueues(6, 6)
	s := p.await("tell of what is lost", func(s api.Status) bool { return s.State == "degraded" || s.State == "waiting" })
	if text := warned(s, "queues"); s.State != "degraded" || !strings.Contains(text, "4 of 6 RX queues are not served") || !s.Workers[1].Detour {
		t.Errorf("%s (%s), %q", s.State, s.Reason, text)
	}
	p.moveTo(filepath.Dir(group))
	p.queuesServed(6)
	if s := p.status(); s.Workers[1].Detour {
		t.Error("queue 1 is not sent by")
	}
	w.mustAnswer(30, natVIP4)
	p.stop()
}

// newMemoryGroup makes a control group with a memory limit below the test's own, of
// whichever version the machine has.
func newMemoryGroup(t *testing.T, limit int) string {
	t.Helper()
	parents := []struct{ folder, file string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}}
	var errs []error
	for _, c := range parents {
		group, err := os.MkdirTemp(c.folder, "afxlb-test-")
		if err == nil {
			t.Cleanup(func() {
				if err := os.Remove(group); err != nil {
					t.Errorf("remove the control group: %v", err)
				}
			})
			err = os.WriteFile(filepath.Join(group, c.file), []byte(strconv.Itoa(limit)), 0o644)
		}
		if err == nil {
			return group
		}
		errs = append(errs, err)
	}
	t.Fatalf("no control group can be made: %v", errors.Join(errs...))
	return ""
}

// The reader of the log goes away: the balancer goes on.
func TestFieldLogReaderGoes(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	p := w.newProcess(nil)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd.Args = append(p.Cmd.Args, "--config", config)
	p.Cmd.Stdout, p.Cmd.Stderr = write, write
	p.launch(w, nil)
	write.Close()
	read.Close()
	p.await("serve without a log", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	for range 3 { // each is a line that nobody reads
		p.reload()
	}
	w.mustAnswer(3, natVIP4)
	p.stop()
}

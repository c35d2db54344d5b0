package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
)

// manager stands in for systemd: it collects what the balancer tells it.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func (w *world) manager() *manager {
	w.t.Helper()
	t := w.t
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w.setenv("NOTIFY_SOCKET", path)
	return &manager{t, l}
}

// hear returns the next message, or nothing if none comes for as long as patience.
func (m *manager) hear(patience time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 1<<10)
	n, err := m.conn.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// await waits for a message.
func (m *manager) await(want string) {
	m.t.Helper()
	for {
		switch said := m.hear(patience); {
		case strings.Contains(said, want):
			return
		case said == "":
			m.t.Fatalf("the service manager is not told %s", want)
		}
	}
}

// drain forgets what was said.
func (m *manager) drain() {
	for m.hear(time.Millisecond) != "" {
	}
}

// workerThread returns the thread of a worker that sleeps, and the CPU that it is held to; 0: none
// does. It is in ppoll(2): a thread that is stopped elsewhere would hold up the whole runtime.
func (p *process) workerThread() (thread, cpu int) {
	p.t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, task := range all {
		status, _ := os.ReadFile(task + "/status") // it may have ended
		call, _ := os.ReadFile(task + "/syscall")
		only := regexp.MustCompile(`Cpus_allowed_list:\t(\d+)\n`).FindSubmatch(status)
		if only != nil && strings.HasPrefix(string(call), fmt.Sprint(unix.SYS_PPOLL, " ")) {
			thread, _ = strconv.Atoi(filepath.Base(task))
			cpu, _ = strconv.Atoi(string(only[1]))
			return thread, cpu
		}
	}
	return 0, 0
}

// hold stops one worker of the process, that of a CPU, until the function that it returns is
// called. It is for the goroutine that calls both: the kernel has one tracer, a thread.
func (p *process) hold() (cpu int, letGo func()) {
	p.t.Helper()
	runtime.LockOSThread()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(poll) {
		n, cpu := p.workerThread()
		if n == 0 || unix.PtraceSeize(n) != nil {
			continue
		}
		if err := unix.PtraceInterrupt(n); err != nil {
			p.t.Fatal(err)
		}
		var s unix.WaitStatus
		if _, err := unix.Wait4(n, &s, unix.WALL, nil); err != nil {
			p.t.Fatal(err)
		}
		call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", p.Process.Pid, n))
		letGo := func() {
			if err := unix.PtraceDetach(n); err != nil {
				p.t.Fatal(err)
			}
			runtime.UnlockOSThread()
		}
		if slices.ContainsFunc([]int{unix.SYS_PPOLL, unix.SYS_RESTART_SYSCALL}, func(nr int) bool { return strings.HasPrefix(string(call), fmt.Sprint(nr, " ")) }) {
			return cpu, letGo
		}
		letGo()
		runtime.LockOSThread()
	}
	p.t.Fatal("no worker sleeps")
	return 0, nil
}

// The watchdog of the service manager is fed as long as all workers move. One that stands still
// is told, and then it is not fed: the manager will start the balancer anew.
func TestFieldWatchdog(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	m := w.manager()
	const within = 2 * time.Second
	w.setenv("WATCHDOG_USEC", fmt.Sprint(within.Microseconds()))
	p := w.start(nil, "--config", config)
	m.await("READY=1")
	p.await("serve", func(s api.Status) bool { return s.State == "serving" })
	m.await("WATCHDOG=1")
	cpu, letGo := p.hold()
	held := func(s api.Status) bool { // others may be late on a busy machine
		n := slices.IndexFunc(s.Workers, func(w api.Worker) bool { return w.CPU == cpu })
		return strings.Contains(warned(s, "stalled"), fmt.Sprint("worker ", n))
	}
	p.await("warn of the worker", held)
	p.awaitLines(1, "ERROR.*worker [01].* stands? still")
	m.drain()
	if said := m.hear(within); said != "" {
		t.Errorf("with a worker that stands still the manager is told %q", said)
	}
	letGo()
	p.await("warn no more", func(s api.Status) bool { return !held(s) })
	m.await("WATCHDOG=1")
	w.mustAnswer(4, natVIP4)
	p.stop()
	m.await("STOPPING=1")
}

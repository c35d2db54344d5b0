//go:build tools

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// machine is a Debian in namespaces, with the network of a lab's host: its files are this
// machine's, and what is changed there is gone with it.
type machine struct {
	t      *testing.T
	pid    int    // of its first process
	shared string // a folder that is /mnt/shared there
}

// newMachine starts one whose first process is a program; systemd boots it.
func newMachine(t *testing.T, host *lab.Host, first ...string) *machine {
	t.Helper()
	group := newGroup(t)
	m := &machine{t: t, shared: t.TempDir()}
	var out bytes.Buffer
	enter := fmt.Sprintf(`echo $$ > %s/cgroup.procs && exec unshare --mount --pid --fork --kill-child --ipc --uts --cgroup testdata/machine "$@"`, group)
	c := exec.Command("bash", append([]string{"-c", enter, "machine", t.TempDir(), m.shared}, first...)...)
	c.Stdout, c.Stderr = &out, &out
	if err := host.Start(c); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait() // it is killed in the end
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill() // unshare, which takes the machine along
		<-ended
		if t.Failed() {
			t.Logf("the machine's first process: %s", out.String())
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(poll) {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.Process.Pid, c.Process.Pid))
		m.pid, _ = strconv.Atoi(strings.TrimSpace(string(children)))
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid)); m.pid != 0 && strings.TrimSpace(string(name)) == filepath.Base(first[0]) {
			return m
		}
		select {
		case <-ended:
			t.Fatalf("the machine does not start: %v\n%s", c.ProcessState, out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the machine does not start:\n%s", out.String())
		}
	}
}

// boot starts one that systemd runs, and waits until it is up.
func boot(t *testing.T, host *lab.Host) *machine {
	t.Helper()
	m := newMachine(t, host, "/usr/lib/systemd/systemd", "--system", "--unit=multi-user.target")
	m.await("its start", "systemctl is-system-running", regexp.MustCompile("running|degraded"))
	return m
}

// newGroup makes a control group for a machine's processes, which ends with the test.
func newGroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`(?m)^\S+ (\S+) cgroup2 `).FindSubmatch(mounts)
	if at == nil {
		t.Fatal("no cgroup2 is mounted")
	}
	group := filepath.Join(string(at[1]), fmt.Sprintf("afxlb-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(patience); ; time.Sleep(poll) { // its processes are on their way out
			err := removeGroup(group)
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Error(err)
				return
			}
		}
	})
	return group
}

// removeGroup removes a control group and those within it.
func removeGroup(group string) error {
	var all []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	for _, path := range slices.Backward(all) {
		if rerr := os.Remove(path); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// try runs a shell line in the machine, as root, and returns what it prints and its exit code.
func (m *machine) try(line string) (string, int) {
	m.t.Helper()
	c := exec.Command("nsenter", "--target", strconv.Itoa(m.pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--wdns=/root",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root", "SYSTEMD_PAGER=",
		"timeout", "60", "bash", "-o", "pipefail", "-c", line)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatalf("%s: %v", line, err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// run runs a line, which is to succeed, and returns what it prints.
func (m *machine) run(line string) string {
	m.t.Helper()
	out, code := m.try(line)
	if code != 0 {
		m.t.Fatalf("%s: exit code %d\n%s", line, code, out)
	}
	return out
}

// await runs a line again and again until what it prints is right.
func (m *machine) await(what, line string, right *regexp.Regexp) string {
	m.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(poll) {
		out, _ := m.try(line)
		if right.MatchString(out) {
			return out
		}
		if time.Now().After(end) {
			journal, _ := m.try("journalctl --no-pager -n 50")
			m.t.Fatalf("%s does not come; %s prints\n%s\nthe journal:\n%s", what, line, out, journal)
		}
	}
}

// write writes a file of the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.shared, "file"), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.run("mkdir -p " + filepath.Dir(path) + " && cp /mnt/shared/file " + path)
}

// changes returns the files of the machine that differ from this one's, but for those that any
// package leaves in the databases of packages, and in caches.
func (m *machine) changes() (list []string) {
	m.t.Helper()
	others := regexp.MustCompile(`^(var/(lib/(dpkg|rpm|systemd|dbus)|cache|log)|mnt|etc/fstab|etc/machine-id|etc/systemd/system|usr/lib/systemd/system/.*\.wants|usr/lib/sysimage|root/.rpmdb)(/|$)|^usr/lib/systemd/system/.*\.wants`)
	for line := range strings.Lines(m.run(`cd /mnt/changes && find . ! -type d -printf '%P\n'`)) {
		if line = strings.TrimSpace(line); !others.MatchString(line) {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/internal/demo"
	"github.com/afxlb/afxlb/internal/testutil"
)

// runDemo runs the demo with this test binary as the balancer, or a program that
// stands in for it.
func runDemo(ctx context.Context, driver, program string, out io.Writer) error {
	return demo.Run(ctx, demo.Options{
		Out: out, Executable: program, Driver: driver,
		Env: append(os.Environ(), "AFXLB_TEST_MAIN=1"),
	})
}

const itself = "/proc/self/exe"

// leftovers fails the test if the demo left a folder, a namespace, a process or a
// goroutine.
func leftovers(t *testing.T) {
	t.Helper()
	if dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "afxlb-demo-*")); len(dirs) > 0 {
		t.Errorf("folders are left: %v", dirs)
	}
	goleak.VerifyNone(t) // first: what goes on in threads has ended then
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "net:") {
			t.Errorf("network namespace %s is still held", to)
		}
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		if children, _ := os.ReadFile(task); len(children) > 0 {
			t.Errorf("children are left: %s", children)
		}
	}
}

func TestDemo(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	for _, driver := range []string{"native", "asavie"} {
		var out bytes.Buffer
		if err := runDemo(t.Context(), driver, itself, &out); err != nil {
			t.Errorf("demo with %s: %v\n%s", driver, err, out.String())
		}
		for _, want := range []string{
			"driver   " + driver, "weighted-round-robin", "is killed", "back in rotation", "tcp-established", "forwarded",
			"with exit code 0", "namespaces are gone", "expectations held.",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the demo does not show %q:\n%s", want, out.String())
			}
		}
		if strings.Contains(out.String(), "WRONG") || strings.Contains(out.String(), "The balancer's log") {
			t.Errorf("all went well, but:\n%s", out.String())
		}
		leftovers(t)
	}
}

func TestTwoDemosAtOnce(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			var out bytes.Buffer
			if err := runDemo(t.Context(), "native", itself, &out); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
	both.Wait()
	leftovers(t)
}

// interrupter cancels the demo when a line of its output appears.
type interrupter struct {
	at     string
	cancel context.CancelFunc
	after  strings.Builder
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		i.cancel()
	}
	return i.after.Write(p)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	for _, at := range []string{"afxlb demo:", "1. The lab", "driver", "2. The spread", "3. Failover", "5. The end"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &interrupter{at: at, cancel: cancel}
		err := runDemo(ctx, "native", itself, out)
		cancel()
		if !errors.Is(err, context.Canceled) || exitCode(err) != exitFailed {
			t.Errorf("interrupted at %q: %v, exit code %d", at, err, exitCode(err))
		}
		if strings.Contains(out.after.String(), "held.") {
			t.Errorf("interrupted at %q, but all is said to be well", at)
		}
		leftovers(t)
	}
}

// The process ends in order when it gets a signal in the middle of the traffic, or
// when nobody reads on, as after `afxlb demo | head`.
func TestInterruptedProcess(t *testing.T) {
	testutil.RequireRoot(t)
	for name, interrupt := range map[string]func(*os.Process, io.Closer) error{
		"SIGINT":  func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGINT) },
		"SIGTERM": func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGHUP) },
		"SIGPIPE": func(_ *os.Process, stdout io.Closer) error { return stdout.Close() },
	} {
		dir := t.TempDir()
		c := exec.CommandContext(t.Context(), itself, "demo")
		c.Env = append(os.Environ(), "AFXLB_TEST_MAIN=1", "TMPDIR="+dir)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "3. Failover") {
				if err := interrupt(c.Process, stdout); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		_ = c.Wait() // the exit code is looked at below
		if code := c.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr.String())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}

// A demo that can't fail shows nothing.
func TestDemoFailsWithAWrongBalancer(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, script string
		code         int
		want         []string
	}{
		{
			"spreads otherwise than it should", `sed -i 's/algorithm: weighted-round-robin/algorithm: round-robin/' "$2"; exec ` + me + ` "$@"`, exitFailed,
			[]string{"1 of the demo's", "spread of weighted-round-robin-nat-ipv4: expected 10 20 30, each to within 2; saw 2"},
		},
		{
			"leaves its socket behind and fails in the end", `trap 'kill $p; wait $p; touch "$4"; exit 7' TERM; ` + me + ` "$@" & p=$!; wait`, exitFailed,
			[]string{"2 of the demo's", "expected exit code 0; saw exit status 7", "its control socket is gone: expected no file"},
		},
		{"ends at once", `echo "no luck" >&2; exit 1`, exitFailed, []string{"afxlb ended by itself: exit status 1: no luck"}},
		{"says that the machine can't", `echo "no such kernel" >&2; exit 3`, exitMachine, []string{"no such kernel"}},
	} {
		program := filepath.Join(t.TempDir(), "afxlb")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := runDemo(t.Context(), "native", program, &out)
		if exitCode(err) != c.code {
			t.Errorf("%s: exit code %d, want %d: %v\n%s", c.name, exitCode(err), c.code, err, out.String())
		}
		for _, want := range c.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: the error does not say %q: %v", c.name, want, err)
			}
		}
		if !strings.Contains(out.String(), "The balancer's log:") {
			t.Errorf("%s: the balancer's log is not shown:\n%s", c.name, out.String())
		}
		leftovers(t)
	}
}

// Without privileges the demo says what is missing, and builds nothing.
func TestDemoWithoutRoot(t *testing.T) {
	testutil.RequireRoot(t) // to become nobody
	dir, err := os.MkdirTemp("/tmp", "afxlb-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	copied := filepath.Join(dir, "afxlb")
	binary, err := os.ReadFile(itself)
	if err == nil {
		err = errors.Join(os.WriteFile(copied, binary, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o777), os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "tmp"), 0o777))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), copied, "demo")
	c.Dir, c.Env = "/", append(os.Environ(), "AFXLB_TEST_MAIN=1", "TMPDIR="+filepath.Join(dir, "tmp"))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	if c.ProcessState.ExitCode() != exitMachine || len(out) > 0 {
		t.Errorf("exit code %d, output %q, want 3 and nothing", c.ProcessState.ExitCode(), out)
	}
	for _, want := range []string{"must be run as root", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the error does not say %q: %s", want, stderr.String())
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoUsage(t *testing.T) {
	for _, args := range [][]string{{"demo", "--driver", "dpdk"}, {"demo", "now"}, {"demo", "--fast"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), &env{stdout: &stdout, stderr: &stderr}, args); code != exitUsage || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, output %q, error %q", args, code, stdout.String(), stderr.String())
		}
	}
}

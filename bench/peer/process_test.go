package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// host makes a host, and a directory for processes that must be empty in the end.
func host(t *testing.T) *lab.Host {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	h, err := lab.NewHost("balancer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return h
}

// shell is a program in the shell's language.
func shell(script string) Command {
	return Command{Program: "/bin/sh", Args: []string{"-c", script}, Ready: Says("ready")}
}

func TestProcess(t *testing.T) {
	h := host(t)
	c := shell(`trap 'exit 0' TERM; cat {dir}/config; while :; do :; done & while :; do sleep 1 & wait $!; done`)
	c.Files, c.CPUs = map[string]string{"config": "ready\n"}, []int{0}
	p, err := Start(t.Context(), h, c)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.family()); n < 2 {
		t.Errorf("a family of %d, want a shell and its children", n)
	}
	for _, pid := range p.family() {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(pid, &set); err == nil && (set.Count() != 1 || !set.IsSet(0)) {
			t.Errorf("process %d may use %d CPUs", pid, set.Count())
		}
	}
	// The busy child's time counts.
	for first := time.Duration(0); ; time.Sleep(time.Millisecond) {
		now, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = now
		}
		if now > first+20*time.Millisecond {
			break
		}
	}
	family := p.family()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	for _, pid := range family {
		if _, err := CPUOf(pid); err == nil {
			t.Errorf("process %d lives on", pid)
		}
	}
	if _, err := p.CPU(); err == nil {
		t.Error("CPU time of a program that has ended")
	}
}

func TestProcessDies(t *testing.T) {
	h := host(t)
	if _, err := Start(t.Context(), h, shell("echo no such device >&2; exit 3")); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("a program that died at once: %v", err)
	}
	p, err := Start(t.Context(), h, shell("echo ready; read line; echo got $line"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(p.Stdin, "a command")
	<-p.ended
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "got a command") {
		t.Errorf("a program that died later: %v", err)
	}
	if _, err := Start(t.Context(), h, Command{Program: "/nonexistent"}); err == nil {
		t.Error("started what is not there")
	}
}

func TestProcessIsNeverReady(t *testing.T) {
	h := host(t)
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := Start(ctx, h, shell("echo hello; exec sleep 60"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || wait > 30*time.Second {
			t.Fatalf("%v, want that time was up and what was said", err)
		}
		if strings.Contains(err.Error(), "hello") { // else it has not said it yet
			break
		}
	}
}

func TestFind(t *testing.T) {
	_, err := Program{Name: "no-such-program", packages: "some-package"}.Find()
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "apt-get install some-package") {
		t.Errorf("%v, want an error that names the package", err)
	}
	_, err = Program{"sh", "a-driver", func(string) error { return errors.New("no driver") }}.Find()
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "no driver") {
		t.Errorf("%v, want an error that names the part", err)
	}
	if path, err := (Program{Name: "sh"}).Find(); err != nil || !filepath.IsAbs(path) {
		t.Errorf("%q %v", path, err)
	}
	if _, err := FindAfxlb(filepath.Join(t.TempDir(), "afxlb")); err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("%v, want an error that says how to build it", err)
	}
	for _, p := range []Program{NFT, HAProxy, Nginx, Testpmd} {
		if path, err := p.Find(); err != nil && !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %q %v", p.Name, path, err)
		}
	}
}

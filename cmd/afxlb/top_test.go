package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Without a terminal it is one frame, and then the end.
func TestTopOnce(t *testing.T) {
	socket := fakeSocket(t, fake{backends: 2, events: recorded()})
	for view, want := range map[string]string{
		"services": "\nweb ", "backends": "\nb1 ", "workers": "no workers", "ports": "no interfaces", "drops": "nothing was lost",
		"events": "backend-down backend is down: two; lines\n", "warnings": "no warnings",
	} {
		args := []string{"top", "--view", view, "--interval", "100ms", "--socket", socket}
		if view == "backends" {
			args = append(args, "--service", "web")
		}
		if code, stdout, stderr := cli(args...); code != exitDone || stderr != "" || !strings.HasPrefix(stdout, "afxlb v1  serving  up ") || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, %q\n%s", view, code, stderr, stdout)
		}
	}
}

func TestTopRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--view flows", exitUsage, `--view "flows": want one of services, workers`},
		{"--view backends", exitUsage, "add --service"},
		{"--service web", exitUsage, "goes with --view backends"},
		{"--interval 1ms", exitUsage, "want 100ms at least"},
		{"--interval -1s", exitUsage, "want 100ms at least"},
		{"extra", exitUsage, "extra"},
		{"--socket /nonexistent.sock", exitFailed, "is it running?"},
		{"--view backends --service other --socket " + fakeSocket(t, fake{}), exitFailed, "other"},
	} {
		code, stdout, stderr := cli(append([]string{"top"}, strings.Fields(c.args)...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("top %s: exit code %d, %q, want %q", c.args, code, stderr, c.want)
		}
	}
}

// That top draws on the terminal is nobody else's matter: the other verbs ask it nothing,
// whatever it is.
func TestOnlyTopAsksTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"top", "--once", "--interval", "100ms", "--socket", fakeSocket(t, fake{})}} {
		ours, theirs, err := openPTY()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("/proc/self/exe", args...)
		c.Env = append(os.Environ(), "AFXLB_TEST_MAIN=1", "TERM=xterm-256color")
		c.Stdin, c.Stdout, c.Stderr = theirs, theirs, theirs
		err = c.Run()
		theirs.Close()
		out := make([]byte, 64<<10)
		n, _ := ours.Read(out)
		ours.Close()
		if err != nil || n == 0 || strings.Contains(string(out[:n]), "\x1b") {
			t.Errorf("%v: %v, %q", args, err, out[:n])
		}
	}
}

// openPTY returns both ends of a terminal.
func openPTY() (ours, theirs *os.File, err error) {
	if ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	return ours, theirs, nil
}

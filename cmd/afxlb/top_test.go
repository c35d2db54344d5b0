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
// whatever it is; nor does top of one that is not known.
func TestOnlyTopAsksTheTerminal(t *testing.T) {
	top := []string{"top", "--interval", "100ms", "--socket", fakeSocket(t, fake{})}
	for _, c := range []struct {
		term string
		args []string
	}{{"xterm-256color", []string{"version"}}, {"xterm-256color", append(top, "--once")}, {"dumb", top}, {"", top}} {
		ours, theirs, err := openPTY()
		if err != nil {
			t.Fatal(err)
		}
		run := exec.Command("/proc/self/exe", c.args...)
		run.Env = append(os.Environ(), "AFXLB_TEST_MAIN=1", "TERM="+c.term)
		run.Stdin, run.Stdout, run.Stderr = theirs, theirs, theirs
		err = run.Run()
		theirs.Close()
		out := make([]byte, 64<<10)
		n, _ := ours.Read(out)
		ours.Close()
		if err != nil || n == 0 || strings.Contains(string(out[:n]), "\x1b") {
			t.Errorf("%v on %q: %v, %q", c.args, c.term, err, out[:n])
		}
	}
}

// Only a locale that says so is without UTF-8.
func TestIsASCII(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "en_US.UTF-8", false},
		{"", "", "C", true},
		{"C.utf8", "", "C", false},
		{"POSIX", "en_US.UTF-8", "en_US.UTF-8", true},
		{"", "de_DE.ISO-8859-1", "de_DE.UTF-8", true},
		{"", "UTF-8", "C", false},
	} {
		env := map[string]string{"LC_ALL": c.all, "LC_CTYPE": c.ctype, "LANG": c.lang}
		if got := isASCII(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%v: %v", env, got)
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

//go:build tools

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// terminal is a real one, which tmux makes, with a shell command in it.
type terminal struct {
	t      *testing.T
	socket string
}

func newTerminal(t *testing.T, width, height int, command string, env ...string) *terminal {
	t.Helper()
	term := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height)}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	term.do(append(args, command)...)
	t.Cleanup(func() { term.do("kill-server") })
	return term
}

// do has this test's own tmux do something.
func (term *terminal) do(args ...string) string {
	term.t.Helper()
	var out bytes.Buffer
	c := exec.Command("tmux", append([]string{"-S", term.socket}, args...)...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		term.t.Fatalf("tmux %q: %v\n%s", args, err, &out)
	}
	return out.String()
}

func (term *terminal) press(keys ...string) {
	term.t.Helper()
	term.do(append([]string{"send-keys", "-t", ":"}, keys...)...)
}

func (term *terminal) resize(width, height int) {
	term.t.Helper()
	term.do("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// await waits until the screen matches each pattern, and returns it.
func (term *terminal) await(patterns ...string) (screen string) {
	term.t.Helper()
	for _, p := range patterns {
		for end := time.Now().Add(patience); ; time.Sleep(5 * poll) {
			if screen = term.do("capture-pane", "-p"); regexp.MustCompile("(?m)" + p).MatchString(screen) {
				break
			}
			if time.Now().After(end) {
				term.t.Fatalf("the screen does not come to %q:\n%s", p, screen)
			}
		}
	}
	return screen
}

// top in a terminal of its own, at a balancer that loses a backend, dies, and comes back.
func TestToolsTop(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), service("dns", natVIP6, "nat", "udp", ""))
	p := w.serve(config)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := fmt.Sprintf("%s top --interval 200ms --socket %s; echo code $?; cat", self, p.socket)
	term := newTerminal(t, 80, 24, command, "AFXLB_TEST_MAIN=1")
	term.await(`^afxlb .*serving`, `^>web +all up +3/3`, `^ dns +all up +3/3`, `^\? help`)

	asking, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-asking:
				return
			default:
				_, _ = w.get(natVIP4) // a backend dies meanwhile
			}
		}
	}()
	term.await(`^>web +all up +3/3 +\S+ +[1-9]\S* +[1-9]\S* +[1-9]\S* +[1-9]\S* +[1-9]`) // live, new, packets and bits both ways
	term.press("Enter")
	term.await(`backends of web: 3`, `^>b0 +up`, `^ b2 +up`)
	w.web[1].Kill()
	term.await(`^ b1 +down`)
	if err := w.web[1].Start(); err != nil {
		t.Fatal(err)
	}
	term.await(`^ b1 +up`)
	close(asking)
	<-asked

	term.resize(160, 50)
	term.await(`10\.0\.0\.\d+:8080 `)
	term.resize(20, 5)
	term.await(`^>b0`)
	term.resize(80, 24)
	term.await(`^ b2 +up`)
	term.press("/", "b", "2")
	term.await(`1 of 3 with "b2"`, `^>b2`)
	term.press("Escape")
	term.await(`^ b0 `)
	term.press("5")
	term.await(`^[> ]\S+ +warn +web/b1 +backend-down`)
	term.press("?")
	term.await(`Any key goes back`)
	term.press("x", "1")
	term.await(`web +all up`)

	if err := p.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.exit()
	term.await(`no answer, was serving`, `no answer since \d\d:\d\d:\d\d, all is as it was then`, `^STALE`, `web +all up +3/3`)
	again := w.start(nil, "--config", config, "--socket", p.socket)
	again.api = p.api
	screen := term.await(`^afxlb \S+ +serving`, `^>web +all up +3/3`)
	if strings.Contains(screen, "STALE") || strings.Contains(screen, "no answer") {
		t.Errorf("it is not back:\n%s", screen)
	}
	// Only --write changes something.
	term.press("Enter")
	term.await(`^>b2 +up`)
	term.press("d")
	term.await(`read-only: start with --write`)
	term.press("q")
	if screen := term.await(`^code 0`); strings.Contains(screen, "web") {
		t.Errorf("the terminal is not as it was:\n%s", screen)
	}

	command = fmt.Sprintf("%s top --view backends --service web --socket %s", self, p.socket)
	term = newTerminal(t, 80, 24, command+" --write", "AFXLB_TEST_MAIN=1")
	term.await(`^>b0 +up +1 `, `d drain`)
	term.press("d")
	term.await(`^drain web/b0, which is up\?`)
	term.press("n")
	term.await(`nothing was changed`, `^>b0 +up`)
	term.press("d", "y")
	term.await(`^web/b0 \(10\.0\.0\.11:8080\): up.* → drain`, `^>b0 +drain`)
	term.press("e", "y")
	term.await(`^>b0 +up`)
	term.press("w", "7", "Enter")
	term.await(`^set the weight of web/b0 from 1 to 7\?`)
	term.press("y")
	term.await(`^>b0 +up +7 `)
	if b := again.backend("web", "b0"); b.Weight != 7 || b.State != "up" {
		t.Errorf("%+v", b)
	}

	for env, coloured := range map[string]bool{"NO_COLOR=": true, "NO_COLOR=yes": false} {
		term := newTerminal(t, 80, 24, command, "AFXLB_TEST_MAIN=1", "TERM=tmux-256color", env)
		term.await(`^ b1 +up`)
		if got := regexp.MustCompile(`\x1b\[3[0-7]m`).MatchString(term.do("capture-pane", "-p", "-e")); got != coloured {
			t.Errorf("with %s there are colours: %v", env, got)
		}
	}
	// Whose terminal goes away is not left behind.
	term = newTerminal(t, 80, 24, "exec "+command, "AFXLB_TEST_MAIN=1")
	term.await(`^ b1 +up`)
	pid := strings.TrimSpace(term.do("display-message", "-p", "#{pane_pid}"))
	term.do("new-session", "-d", "-s", "other", "cat")
	term.do("kill-session", "-t", "0")
	for end := time.Now().Add(patience); ; time.Sleep(poll) {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("process %s goes on without a terminal", pid)
		}
	}
	again.stop()
}

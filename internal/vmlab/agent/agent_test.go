package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial connects a client to a server by two pipes. To hang up is to end both.
func dial(t *testing.T) (c *Client, hangUp func()) {
	t.Helper()
	requests, ask := io.Pipe()
	answers, answer := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- Serve(requests, answer, "6.1.0-test")
		answer.Close()
	}()
	c, err := Dial(t.Context(), answers, ask)
	if err != nil {
		t.Fatal(err)
	}
	hangUp = func() {
		ask.Close()
		if err := <-served; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		<-c.ended
		served <- nil
	}
	t.Cleanup(hangUp)
	return c, hangUp
}

func TestRun(t *testing.T) {
	c, _ := dial(t)
	if c.Release != "6.1.0-test" {
		t.Errorf("release %q", c.Release)
	}
	for _, test := range []struct {
		args        []string
		out, refuse string // output; what the error must say
	}{
		{[]string{"/bin/echo", "one", "two"}, "one two\n", ""},
		{[]string{"/bin/sh", "-c", "echo to both; echo of them >&2"}, "to both\nof them\n", ""},
		{[]string{"/bin/sh", "-c", "echo too bad; exit 3"}, "too bad\n", "exit code 3: too bad"},
		{[]string{"/bin/sh", "-c", "kill -9 $$"}, "", "exit code -1"},
		{[]string{"/no/such/program"}, "", "no such file"},
	} {
		out, err := c.Run(t.Context(), test.args...)
		if out != test.out || (err == nil) != (test.refuse == "") || err != nil && !strings.Contains(err.Error(), test.refuse) {
			t.Errorf("%q: output %q, error %v", test.args, out, err)
		}
	}
}

// TestSeveral: programs run beside each other, and each gets its own signals.
func TestSeveral(t *testing.T) {
	c, _ := dial(t)
	var list []*Process
	for range 3 {
		p, err := c.Start(io.Discard, "/bin/sleep", "600")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if err := list[1].Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := list[1].Wait(t.Context()); code != -1 || err != nil {
		t.Errorf("ended with %d, %v; want -1 after a signal", code, err)
	}
	if err := list[1].Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to one that has ended: %v", err)
	}
	for _, i := range []int{0, 2} {
		select {
		case <-list[i].Ended():
			t.Errorf("program %d ended with another's signal", i)
		default:
		}
		if err := list[i].Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := list[i].Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	c, _ := dial(t)
	p, err := c.Start(io.Discard, "/bin/sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestMuchOutput: all of it comes, in order, before the end is told.
func TestMuchOutput(t *testing.T) {
	c, _ := dial(t)
	out, err := c.Run(t.Context(), "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 20000 || lines[0] != "0" || lines[19999] != "19999" {
		t.Errorf("%d lines", len(lines))
	}
}

func TestWriteFile(t *testing.T) {
	c, _ := dial(t)
	file, want := filepath.Join(t.TempDir(), "f"), []byte{0, 1, 0xff, '\n'}
	if err := c.WriteFile(t.Context(), file, want); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.WriteFile(t.Context(), filepath.Join(file, "below"), want); err == nil {
		t.Error("wrote below a file")
	}
}

// TestGuestGoes: who waits is told, and so is who asks afterwards.
func TestGuestGoes(t *testing.T) {
	answers, answer := io.Pipe()
	requests, ask := io.Pipe()
	go func() { _, _ = io.Copy(io.Discard, requests) }()
	go func() { _, _ = io.WriteString(answer, `{"release":"6.1.0"}`+"\n") }()
	c, err := Dial(t.Context(), answers, ask)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Start(io.Discard, "sleep")
	if err != nil {
		t.Fatal(err)
	}
	answer.Close()
	if _, err := p.Wait(t.Context()); !errors.Is(err, errGone) {
		t.Errorf("waiting: %v", err)
	}
	if _, err := c.Run(t.Context(), "echo"); !errors.Is(err, errGone) {
		t.Errorf("asking: %v", err)
	}
	ask.Close()
}

func TestDialNobody(t *testing.T) {
	answers, answer := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("long enough"))
	if _, err := Dial(ctx, answers, io.Discard); err == nil || !strings.Contains(err.Error(), "long enough") {
		t.Errorf("error %v", err)
	}
	answer.Close()
	gone, gone2 := io.Pipe()
	gone2.Close()
	if _, err := Dial(t.Context(), gone, io.Discard); !errors.Is(err, errGone) {
		t.Errorf("error %v", err)
	}
}

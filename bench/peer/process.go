package peer

import (
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
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// Command is a program to be started.
type Command struct {
	Program string   // its path
	Args    []string // "{dir}" in them becomes the process's directory
	Files   map[string]string
	CPUs    []int // that it may use from when it is ready; none: all
	// Ready reports whether the program does its work now. It is asked again and
	// again, a few milliseconds apart.
	Ready func(ctx context.Context, p *Process) (bool, error)
}

// Process is a program on a host, with a directory of its own.
type Process struct {
	Dir   string
	Stdin io.Writer // to the program; open until it ends

	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, after ended

	mu  sync.Mutex
	out bytes.Buffer
}

const (
	patience = 20 * time.Second // with a start
	grace    = 5 * time.Second  // for an end
	interval = 3 * time.Millisecond
)

// Start starts a program on a host and returns when it is ready. When it ends, all
// that it has started ends with it, since it is the first process of a namespace of
// process ids; and it ends with this process (see [lab.Host.Start]).
func Start(ctx context.Context, h *lab.Host, c Command) (*Process, error) {
	dir, err := os.MkdirTemp("", "afxlb-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for %s: %w", c.Program, err)
	}
	p := &Process{Dir: dir, name: filepath.Base(c.Program), ended: make(chan struct{})}
	if err := p.start(h, &c); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.await(ctx, c.Ready); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	if len(c.CPUs) > 0 {
		if err := p.pin(c.CPUs); err != nil {
			return nil, errors.Join(err, p.kill())
		}
	}
	return p, nil
}

func (p *Process) start(h *lab.Host, c *Command) error {
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write a config for %s: %w", p.name, err)
		}
	}
	p.cmd = exec.Command(c.Program, expand(c.Args, p.Dir)...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = p.Dir, p, p, time.Second
	// A terminal's ^C is for the harness, which ends the program itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Setpgid: true}
	// Some programs take the end of their input for a wish to end.
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.Stdin = stdin
	if err := h.Start(p.cmd); err != nil {
		stdin.Close()
		return err
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return nil
}

func expand(args []string, dir string) []string {
	var all []string
	for _, a := range args {
		all = append(all, strings.ReplaceAll(a, "{dir}", dir))
	}
	return all
}

// await waits until the program is ready. An error of ready counts when time is up:
// what it looks at may not be there from the start.
func (p *Process) await(ctx context.Context, ready func(context.Context, *Process) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	for {
		ok, err := ready(ctx, p)
		if ok && err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.Err()
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is ready: %w (last output: %s)", p.name, errors.Join(context.Cause(ctx), err), p.lastWords())
		case <-time.After(interval):
		}
	}
}

// Says returns a [Command.Ready] that waits for a text in the program's output.
func Says(text string) func(context.Context, *Process) (bool, error) {
	return func(_ context.Context, p *Process) (bool, error) { return strings.Contains(p.Output(), text), nil }
}

// Write collects the program's output.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output returns all that the program has printed.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// lastWords returns the last lines of output.
func (p *Process) lastWords() string {
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Err tells how the program came to its end, with its last output; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	return fmt.Errorf("%s ended by itself (%v): %s", p.name, p.cmd.ProcessState, p.lastWords())
}

// Stop asks the program to end, ends it if it does not within a few seconds, and
// removes its directory. A program that has not ended well is an error, and so is one
// that has ended before.
func (p *Process) Stop() error {
	if err := p.Err(); err != nil {
		return errors.Join(err, os.RemoveAll(p.Dir))
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(fmt.Errorf("stop %s: %w", p.name, err), p.kill())
	}
	select {
	case <-p.ended:
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("stop %s: it has not ended after %v (last output: %s)", p.name, grace, p.lastWords()), p.kill())
	}
	const terminated = 128 + int(syscall.SIGTERM) // how a shell, and some programs, tell
	if p.err != nil && p.cmd.ProcessState.ExitCode() != terminated {
		return errors.Join(fmt.Errorf("stop %s: %w (last output: %s)", p.name, p.err, p.lastWords()), os.RemoveAll(p.Dir))
	}
	return os.RemoveAll(p.Dir)
}

// kill ends the program at once.
func (p *Process) kill() error {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	return os.RemoveAll(p.Dir)
}

// Signal sends a signal to the program itself.
func (p *Process) Signal(s os.Signal) error {
	if err := p.Err(); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// Package child runs a part of a benchmark in a process of its own, which is this
// program once more: its heap begins empty, its threads and its scheduler are nobody
// else's, and what it leaves behind ends with it.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/afxlb/afxlb/bench/result"
)

// Handler does a task and tells about it.
type Handler func(task json.RawMessage, out *Out) error

// variable marks a child's environment; its value names the handler.
const variable = "AFXLB_BENCH_CHILD"

// message is one line from a child. Exactly one field is set.
type message struct {
	Progress string         `json:"progress,omitempty"`
	Sample   *result.Sample `json:"sample,omitempty"`
	Done     bool           `json:"done,omitempty"`
	Error    string         `json:"error,omitempty"`
}

// Out is a child's way to its parent.
type Out struct{ enc *json.Encoder }

// NewOut returns an Out that writes to w: to a parent, or to a test.
func NewOut(w io.Writer) *Out { return &Out{json.NewEncoder(w)} }

// Progress says what the child is at.
func (o *Out) Progress(s string) { o.send(message{Progress: s}) }

// Sample hands a result over.
func (o *Out) Sample(s result.Sample) { o.send(message{Sample: &s}) }

// send ends the process if nobody listens any more, and if what a figure says is no
// number: a task that goes on would hide it.
func (o *Out) send(m message) {
	err := o.enc.Encode(m)
	if err == nil {
		return
	}
	if unsupported := new(json.UnsupportedValueError); errors.As(err, &unsupported) {
		_ = o.enc.Encode(message{Error: fmt.Sprintf("sample %q: %v", m.Sample.Name, err)})
	}
	os.Exit(1)
}

// Main does the task and exits, if this process is a child. It must be the first thing
// that a main, or a TestMain of a test that runs children, calls.
func Main(handlers map[string]Handler) {
	name := os.Getenv(variable)
	if name == "" {
		return
	}
	out := NewOut(os.Stdout)
	if err := serve(handlers[name], os.Stdin, out); err != nil {
		out.send(message{Error: err.Error()})
		os.Exit(1)
	}
	out.send(message{Done: true})
	os.Exit(0)
}

func serve(h Handler, in io.Reader, out *Out) error {
	if h == nil {
		return fmt.Errorf("no handler of that name in this program")
	}
	task, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	return h(task, out)
}

// Run has a child do the task by the named handler. It calls progress and sample as
// they come, on the calling goroutine, and returns the handler's error. When ctx ends,
// or this process, so does the child.
func Run(ctx context.Context, handler string, task any, progress func(string), sample func(result.Sample)) error {
	body, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("write task: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	runtime.LockOSThread() // a parent's death signal is that of the thread that forked
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), variable+"="+handler)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	go func() {
		_, _ = stdin.Write(body) // a child that is gone says so by its exit
		stdin.Close()
	}()
	err = listen(stdout, progress, sample)
	_, _ = io.Copy(io.Discard, stdout)
	if wait := cmd.Wait(); err == nil && wait != nil {
		err = wait
	} else if errors.Is(err, io.ErrUnexpectedEOF) && wait != nil {
		err = fmt.Errorf("child died: %w", wait)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// listen reads messages up to the last one.
func listen(r io.Reader, progress func(string), sample func(result.Sample)) error {
	for d := json.NewDecoder(bufio.NewReader(r)); ; {
		var m message
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return fmt.Errorf("read from child: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		case m.Done:
			return nil
		case m.Sample != nil:
			sample(*m.Sample)
		default:
			progress(m.Progress)
		}
	}
}

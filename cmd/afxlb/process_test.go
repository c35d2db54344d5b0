package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// process is an afxlb in the balancer's namespace.
type process struct {
	*exec.Cmd
	t      *testing.T
	api    *api.Client
	socket string
	ended  chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts afxlb with a control socket of its own unless args name one.
func (w *world) start(attr *syscall.SysProcAttr, args ...string) *process {
	w.t.Helper()
	p := w.newProcess(attr)
	p.Cmd.Args = append(p.Cmd.Args, args...)
	p.launch(w, args)
	return p
}

// setenv is testing's Setenv, of afxlb alone.
func (w *world) setenv(key, value string) { w.env = append(w.env, key+"="+value) }

// newProcess returns an afxlb that is still to be launched.
func (w *world) newProcess(attr *syscall.SysProcAttr) *process {
	p := &process{t: w.t, socket: filepath.Join(w.dir, fmt.Sprintf("%d.sock", time.Now().UnixNano())), ended: make(chan struct{})}
	p.Cmd = exec.Command("/proc/self/exe", "--socket", p.socket, "--state-file", filepath.Join(w.dir, "state.json"))
	p.Env = append(append(os.Environ(), "AFXLB_TEST_MAIN=1"), w.env...)
	p.Stdout, p.Stderr, p.SysProcAttr = p, p, attr
	p.api = api.NewClient(p.socket)
	return p
}

// launch starts the process, and sees to its end. The args are for messages.
func (p *process) launch(w *world, args []string) {
	p.t.Helper()
	if err := w.lab.Balancer.Start(p.Cmd); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // its state tells
	}()
	p.t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("afxlb %v:\n%s", args, p.output())
		}
	})
}

// serve starts afxlb and waits until it serves with all backends up, and knows the
// way to them: a lost datagram is not sent again.
func (w *world) serve(config string, args ...string) *process {
	w.t.Helper()
	p := w.start(nil, append([]string{"--config", config}, args...)...)
	p.await("serve", func(s api.Status) bool {
		if s.State != "serving" || s.Backends.Up != s.Backends.Total {
			return false
		}
		list, err := p.api.Backends(w.t.Context(), "")
		return err == nil && !slices.ContainsFunc(list, func(b api.Backend) bool { return b.MAC == "" })
	})
	return p
}

// await waits for a status that ok accepts.
func (p *process) await(what string, ok func(api.Status) bool) api.Status {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		s, err := p.api.Status(ctx)
		if err == nil && ok(s) {
			return s
		}
		select {
		case <-p.ended:
			p.t.Fatalf("afxlb ended instead of coming to %s: %v\n%s", what, p.ProcessState, p.output())
		case <-ctx.Done():
			p.t.Fatalf("afxlb did not come to %s: %+v, %v", what, s, err)
		case <-time.After(poll):
		}
	}
}

// status returns the status as it is.
func (p *process) status() api.Status {
	p.t.Helper()
	return p.await("answer", func(api.Status) bool { return true })
}

// settled returns the status once the facts about the world stand still: nothing tells of a
// change that does not come, so it is when there was none for as long as many take.
func (p *process) settled() (s api.Status) {
	p.t.Helper()
	var since time.Time
	return p.await("settle", func(now api.Status) bool {
		if since.IsZero() || now.Generation != s.Generation {
			s, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// stays holds for a while that something does not happen.
func (p *process) stays(d time.Duration, what string, ok func(api.Status) bool) {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(poll) {
		s, err := p.api.Status(p.t.Context())
		if err != nil || !ok(s) {
			p.t.Fatalf("afxlb does not stay %s: %+v, %v", what, s, err)
		}
	}
}

// exit waits for the process's end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("afxlb does not end:\n%s", p.output())
	}
	return p.ProcessState.ExitCode()
}

// stop ends the process by SIGTERM; it must end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.exit(); code != exitDone {
		p.t.Errorf("exit code %d after SIGTERM\n%s", code, p.output())
	}
}

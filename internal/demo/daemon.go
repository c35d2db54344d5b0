package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/lab"
)

// process is the balancer's process.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, after ended

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects the process's log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// kill ends the process if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// exitMachine is afxlb's exit code for what the machine can't do.
const exitMachine = 3

// ending returns an error that tells how the process ended, with its last words.
func (p *process) ending() error {
	log := strings.TrimSpace(p.log())
	err := fmt.Errorf("afxlb ended by itself: %v: %s", p.err, log[strings.LastIndexByte(log, '\n')+1:])
	if p.cmd.ProcessState.ExitCode() == exitMachine {
		err = doctor.MachineError{Err: err}
	}
	return err
}

// file and socket are where the daemon's are.
func (d *demo) file() string   { return filepath.Join(d.dir, "afxlb.yaml") }
func (d *demo) socket() string { return filepath.Join(d.dir, "afxlb.sock") }

// start runs afxlb in the balancer's namespace and waits until it serves.
func (d *demo) start(ctx context.Context) error {
	config, begun := configFile(d.Driver), time.Now()
	if d.Verbose {
		d.say("The config:\n\n%s\n", config)
	}
	if err := os.WriteFile(d.file(), []byte(config), 0o600); err != nil {
		return fmt.Errorf("write the demo's config: %w", err)
	}
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.Command(d.Executable, "--config", d.file(), "--socket", d.socket(), "--state-file", "none")
	p.cmd.Stderr, p.cmd.Env, p.cmd.WaitDelay = p, d.Env, time.Second
	// A terminal's ^C is for the demo; it ends the daemon itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.lab.Balancer.Start(p.cmd); err != nil {
		return err
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	d.daemon, d.api = p, api.NewClient(d.socket())

	var s api.Status
	err := d.poll(ctx, 20*time.Second, func(ctx context.Context) (ok bool, err error) {
		s, err = d.api.Status(ctx)
		return s.State == api.StateServing && s.Backends.Up == s.Backends.Total, err
	})
	if err != nil {
		return fmt.Errorf("wait until afxlb serves with all backends up (now %d of %d): %w", s.Backends.Up, s.Backends.Total, err)
	}
	return d.describe(&s, time.Since(begun))
}

// describe shows how the balancer runs.
func (d *demo) describe(s *api.Status, took time.Duration) error {
	link, err := d.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		return fmt.Errorf("look at %s: %w", lab.Interface, err)
	}
	d.say("   afxlb    %s, pid %d, ready after %.1f s: %d services up, %d backends up\n", s.Version, s.PID, took.Seconds(), s.Services.Up, s.Backends.Up)
	d.say("   driver   %s\n", s.Driver)
	d.say("   XDP      %s mode", s.XDPMode)
	if x := link.Attrs().Xdp; x != nil && x.Attached {
		d.say(", program %d on %s", x.ProgId, lab.Interface)
	}
	d.say("\n   sockets  %s mode, one a queue\n", s.Bind)
	for _, w := range s.Workers {
		cpu := "not pinned"
		if w.CPU >= 0 {
			cpu = fmt.Sprintf("on CPU %d", w.CPU)
		}
		d.say("   worker   queue %d, %s\n", w.Queue, cpu)
	}
	wrong := ""
	if s.Driver != d.Driver || len(s.Workers) != queues {
		wrong = fmt.Sprintf("expected %s and %d; saw %s and %d", d.Driver, queues, s.Driver, len(s.Workers))
	}
	d.say("\n")
	d.check("the driver and the number of workers asked for", wrong)
	return nil
}

// pollInterval is how often a state is asked for while waiting for it.
const pollInterval = 10 * time.Millisecond

var errTooLong = errors.New("it took too long")

// poll asks until ok holds. An error of ok only counts when time is up, since the
// control socket is not there from the start.
func (d *demo) poll(ctx context.Context, limit time.Duration, ok func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w, more than %v", errTooLong, limit))
	defer cancel()
	for {
		done, err := ok(ctx)
		if done && err == nil {
			return nil
		}
		select {
		case <-d.daemon.ended:
			return d.daemon.ending()
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollInterval):
		}
	}
}

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// daemon is the balancer's process.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, after ended

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects the process's log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *daemon) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// kill ends the process if it still runs.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended already
	<-d.ended
}

// start runs afxlb in the balancer's namespace and waits until it serves.
func (d *demo) start(ctx context.Context, dir string) error {
	file, socket := filepath.Join(dir, "afxlb.yaml"), filepath.Join(dir, "afxlb.sock")
	if err := os.WriteFile(file, []byte(configFile(d.Driver)), 0o600); err != nil {
		return fmt.Errorf("write the demo's config: %w", err)
	}
	p := &daemon{ended: make(chan struct{})}
	p.cmd = exec.Command(d.Executable, "--config", file, "--socket", socket)
	p.cmd.Stderr, p.cmd.Env = p, d.Env
	if err := d.lab.Balancer.Start(p.cmd); err != nil {
		return err
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	d.daemon, d.api = p, api.NewClient(socket)
	s, err := d.await(ctx, "serve with all backends up", func(s api.Status) bool {
		return s.State == "serving" && s.Backends.Up == s.Backends.Total
	})
	if err != nil {
		return err
	}
	d.say("afxlb serves: driver %s, XDP %s, sockets in %s mode, %d workers on", s.Driver, s.XDPMode, s.Bind, len(s.Workers))
	for _, w := range s.Workers {
		d.say(" queue %d (CPU %d)", w.Queue, w.CPU)
	}
	d.say(", %d services, %d backends up\n", s.Services.Up, s.Backends.Up)
	return nil
}

// poll is how often a state is asked for while waiting for it.
const poll = 20 * time.Millisecond

// await asks for the status until ok accepts it.
func (d *demo) await(ctx context.Context, what string, ok func(api.Status) bool) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		s, err := d.api.Status(ctx)
		if err == nil && ok(s) {
			return s, nil
		}
		select {
		case <-d.daemon.ended:
			return s, fmt.Errorf("afxlb ended instead of coming to %s: %w", what, d.daemon.err)
		case <-ctx.Done():
			return s, fmt.Errorf("afxlb did not come to %s: %w", what, ctx.Err())
		case <-time.After(poll):
		}
	}
}

// stop ends the daemon as an operator would, and looks at what it left.
func (d *demo) stop(ctx context.Context, dir string) error {
	d.say("\nSIGTERM to the balancer: ")
	if err := d.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop afxlb: %w", err)
	}
	select {
	case <-d.daemon.ended:
	case <-ctx.Done():
		return fmt.Errorf("stop afxlb: %w", ctx.Err())
	}
	if d.daemon.err != nil {
		return fmt.Errorf("afxlb ended with %w, want exit code 0", d.daemon.err)
	}
	_, err := os.Stat(filepath.Join(dir, "afxlb.sock"))
	d.expect(errors.Is(err, os.ErrNotExist), "the control socket is left behind")
	link, err := d.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		return fmt.Errorf("look at %s: %w", lab.Interface, err)
	}
	x := link.Attrs().Xdp
	d.expect(x == nil || !x.Attached, "an XDP program is left on %s", lab.Interface)
	d.say("exit code 0, program detached, socket gone.\n")
	return nil
}

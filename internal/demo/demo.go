// Package demo shows the balancer at work: real HTTP through a real daemon in a lab
// of network namespaces, with every expectation checked on the way.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/xsk"
)

// Options say how to run the demo.
type Options struct {
	Out        io.Writer // what it shows
	Executable string    // the afxlb to run
	Env        []string  // of the daemon; nil: this process's
	Driver     string    // native | asavie
	Verbose    bool      // show the daemon's log also when all goes well
}

// demo is a run under way.
type demo struct {
	Options
	lab    *lab.Lab
	web    []*lab.HTTPServer // by backend
	daemon *daemon
	api    *api.Client
	failed []string // expectations that did not hold
}

// limit bounds the whole run; it takes a fraction of it.
const limit = 2 * time.Minute

// Run builds the lab, balances in it, shows what it sees, and takes everything
// down again, also when ctx ends in the middle. The error says which expectation
// did not hold, or what the machine lacks.
func Run(ctx context.Context, o Options) (err error) {
	if err := xsk.Probe(); err != nil {
		return fmt.Errorf("the demo needs root: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "afxlb-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d := &demo{Options: o}
	defer func() {
		err = errors.Join(err, d.takeDown(dir, err != nil))
	}()
	for _, step := range []func(context.Context, string) error{d.build, d.start, d.spread, d.failover, d.account, d.stop} {
		if err := step(ctx, dir); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("the demo was interrupted: %w", context.Cause(ctx))
			}
			return err
		}
	}
	if len(d.failed) > 0 {
		return fmt.Errorf("%d expectations did not hold; the first: %s", len(d.failed), d.failed[0])
	}
	d.say("\nAll went as it should.\n")
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format, args...) }

// expect notes an expectation that did not hold, and says so at once.
func (d *demo) expect(ok bool, format string, args ...any) {
	if ok {
		return
	}
	text := fmt.Sprintf(format, args...)
	d.failed = append(d.failed, text)
	d.say("  NOT AS EXPECTED: %s\n", text)
}

// build makes the lab and its web servers.
func (d *demo) build(context.Context, string) (err error) {
	d.say(`A lab of network namespaces on this machine, all real kernels:

                       +--------------------- balancer: afxlb on eth0, 2 queues
                       |
  client ---------- switch --+--- backend a, weight 1
  %-15v            +--- backend b, weight 2
                             +--- backend c, weight 3

`, lab.ClientAddr(0))
	if d.lab, err = lab.New(lab.Options{Backends: len(backends), Queues: queues, VIPs: dsrVIPs()}); err != nil {
		return err
	}
	for i, h := range d.lab.Backends {
		s, err := h.HTTPServer(fmt.Sprintf(":%d", webPort), backends[i].name)
		if err != nil {
			return err
		}
		d.web = append(d.web, s)
	}
	return nil
}

// takeDown removes everything, and shows the daemon's log if something went wrong.
func (d *demo) takeDown(dir string, wrong bool) error {
	if d.daemon != nil {
		d.daemon.kill()
		if wrong || d.Verbose || len(d.failed) > 0 {
			d.say("\nThe balancer's log:\n%s", d.daemon.log())
		}
	}
	var err error
	if d.lab != nil {
		err = d.lab.Close()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

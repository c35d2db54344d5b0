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
)

// Options say how to run the demo.
type Options struct {
	Out        io.Writer // what it shows
	Executable string    // the afxlb to run
	Env        []string  // of the daemon; nil: this process's
	Driver     string    // native | asavie
	Verbose    bool      // show the daemon's config and log also when all goes well
}

// demo is a run under way.
type demo struct {
	Options
	report
	dir        string // for the config and the control socket
	lab        *lab.Lab
	namespaces []string // of the lab, as /proc spells them
	servers    [][]*lab.HTTPServer
	daemon     *process
	api        *api.Client
}

// limit bounds the whole run; it takes a fraction of it.
const limit = 2 * time.Minute

// Run builds the lab, balances in it, shows what it sees, and takes everything
// down again, also when ctx ends in the middle. The error says which expectations
// did not hold, or what the machine lacks; in the latter case it wraps what the
// command's exit code 3 stands for, and nothing was built.
func Run(ctx context.Context, o Options) (err error) {
	if err := requirements(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	dir, err := os.MkdirTemp("", "afxlb-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d := &demo{Options: o, report: report{out: o.Out}, dir: dir}
	defer func() {
		if d.daemon != nil && ctx.Err() == nil && (err != nil || o.Verbose) {
			d.daemon.kill() // its log is complete then
			d.say("\nThe balancer's log:\n%s", d.daemon.log())
		}
		err = errors.Join(err, d.takeDown())
	}()
	d.say("afxlb demo: the real balancer on real AF_XDP sockets, in a lab of network namespaces.\nNothing outside of the lab is touched.\n")
	for _, step := range []func(context.Context) error{d.build, d.start, d.spread, d.failover, d.account, d.stop, d.clean} {
		err := step(ctx)
		if ctx.Err() != nil {
			d.say("\nInterrupted; taking the lab down.\n")
			return fmt.Errorf("the demo was interrupted: %w", context.Cause(ctx))
		}
		if err != nil {
			return err
		}
	}
	return d.verdict()
}

// takeDown removes everything, in whatever state it is. It may be called again.
func (d *demo) takeDown() error {
	if d.daemon != nil {
		d.daemon.kill()
	}
	var err error
	if d.lab != nil {
		err = d.lab.Close()
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

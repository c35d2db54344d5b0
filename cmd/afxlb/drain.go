package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newBackendDrain(e *env) *cobra.Command {
	o := &order{action: api.ActionDrain}
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "drain SERVICE BACKEND",
		Short: "Give a backend no new flows; those that it has go on",
		Long: `drain gives a backend no new flows. Those that it has go on until they end; flows of UDP,
whose end nobody sees, leave it after the service's drain-time.

With --wait it shows how many flows are left until none is, and then the backend may be
stopped. --timeout bounds that, and stands for --wait: when it is over, the flows that are left
stay as they are, and the backend goes on draining; backend disable treats them as on-down
says. So it does if the wait is interrupted.

Exit code 0: it drains, or with --wait no flow is left; 4: some were when the time was over, the
wait was interrupted, or a reload took the backend out of the config, after which it gets
nothing more; 1: the balancer did not answer, or somebody else ended the drain.`,
		Example: `  afxlb backend drain web a
  afxlb backend drain web 10.0.0.11:8080 --timeout 10m`,
	}
	o.flags(c)
	c.Flags().BoolVar(&wait, "wait", false, "show the flows that are left until none is")
	c.Flags().DurationVar(&timeout, "timeout", 0, "wait for so long at most, as in 10m")
	c.RunE = func(c *cobra.Command, args []string) error {
		if timeout < 0 || timeout == 0 && c.Flags().Changed("timeout") {
			return usageError{fmt.Errorf("--timeout %v: want a time above 0, as in 10m", timeout)}
		}
		done, err := o.give(c, e, args)
		if err != nil || !wait && timeout == 0 {
			return err
		}
		ctx := c.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		show := newProgress(e.stdout)
		if o.asJSON {
			show = newProgress(io.Discard)
		}
		return awaitDrained(ctx, api.NewClient(o.socket), &done, show)
	}
	return c
}

// drainLook is the time between two looks at a backend that drains. A worker that was busy
// with a batch when the drain began is long through with that at the first.
const drainLook = 250 * time.Millisecond

// awaitDrained shows the flows that are left at a backend until none is, or ctx ends.
func awaitDrained(ctx context.Context, a *api.Client, at *api.BackendChanged, show *progress) error {
	name, began := at.Service+"/"+at.Backend, time.Now()
	service, err := serviceOf(ctx, a, func(s *api.Service) bool { return s.Name == at.Service })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("wait for %s (%s): %w", name, at.Address, err)
	}
	look := time.NewTicker(drainLook)
	defer look.Stop()
	left := int64(-1) // nobody has looked
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			show.end()
			why := "the wait was interrupted"
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				why = "the time is over"
			}
			return fmt.Errorf("%w: %s, with %s of %s left; it goes on draining", errPartly, why, flowsLeft(left), name)
		}
		b, err := drainingOf(ctx, a, at, &service)
		switch {
		case ctx.Err() != nil, errors.Is(err, api.ErrNotFound): // or it was renamed between two questions
			continue
		case errors.Is(err, errPartly):
			show.end()
			return fmt.Errorf("wait for %s (%s): %w; %s left at the last look, and what comes of them goes elsewhere", name, at.Address, err, flowsLeft(left))
		case err != nil:
			show.end()
			return fmt.Errorf("wait for %s (%s): %w", name, at.Address, err)
		}
		left = b.Live
		show.say(fmt.Sprintf("%s of %s left", flowsLeft(left), name), time.Since(began))
		if left == 0 {
			show.end()
			return nil
		}
	}
}

// drainingOf returns the backend of a service that was told to drain, if it does. Names may be
// others' by now: a service is what it is by its address, and a backend by its own.
func drainingOf(ctx context.Context, a *api.Client, at *api.BackendChanged, service *api.Service) (*api.Backend, error) {
	now, err := serviceOf(ctx, a, func(s *api.Service) bool {
		return s.Address == service.Address && s.Port == service.Port && s.Protocol == service.Protocol
	})
	if err != nil {
		return nil, err
	}
	list, err := a.Backends(ctx, now.Name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(b api.Backend) bool { return addressOf(&b) == at.Address })
	if i < 0 {
		return nil, fmt.Errorf("%w: it is not in the config any more", errPartly)
	}
	state, _, _ := strings.Cut(list[i].Override, ", ")
	if state != "drain" && state != "disabled" && list[i].State != "drain" { // the file may have it drain, too
		return nil, fmt.Errorf("somebody has ended the drain: it is %s, with weight %d", list[i].State, list[i].Weight)
	}
	return &list[i], nil
}

// serviceOf returns the service that is the one of a backend which drains. One that a reload took
// out is done with, but nobody saw its flows end.
func serviceOf(ctx context.Context, a *api.Client, is func(*api.Service) bool) (api.Service, error) {
	list, err := a.Services(ctx)
	if err != nil {
		return api.Service{}, err
	}
	for i := range list {
		if is(&list[i]) {
			return list[i], nil
		}
	}
	return api.Service{}, fmt.Errorf("%w: its service is not in the config any more", errPartly)
}

// addressOf returns a backend's address as a change of it tells it.
func addressOf(b *api.Backend) string {
	if b.Port == "same" {
		return b.Address
	}
	return net.JoinHostPort(b.Address, b.Port)
}

func flowsLeft(n int64) string {
	switch n {
	case -1:
		return "not known how many flows"
	case 0:
		return "no flow"
	case 1:
		return "1 flow"
	}
	return fmt.Sprintf("%d flows", n)
}

// progress shows how far something is: on a terminal in one line that is written again and
// again, else in a line for each change, though not more often than progressPause.
type progress struct {
	to       io.Writer
	terminal bool
	last     string
	said     time.Time
	open     bool // last is not printed, or its line is not ended
}

const progressPause = 2 * time.Second

func newProgress(w io.Writer) *progress {
	return &progress{to: w, terminal: isScreen(w)}
}

// say shows a text, and on a terminal for how long it has been going on.
func (p *progress) say(text string, since time.Duration) {
	switch {
	case p.terminal:
		p.open = true
		fmt.Fprintf(p.to, "\r\x1b[K%s, after %v", text, since.Truncate(time.Second))
	case text != p.last:
		p.last, p.open = text, true
		if time.Since(p.said) >= progressPause {
			p.end()
		}
	}
}

// end leaves what was said last as a line.
func (p *progress) end() {
	if !p.open {
		return
	}
	p.open = false
	if p.terminal {
		fmt.Fprintln(p.to)
		return
	}
	p.said = time.Now()
	fmt.Fprintln(p.to, p.last)
}

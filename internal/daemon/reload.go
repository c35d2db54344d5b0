package daemon

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
)

// reloadOnHangup reloads at each SIGHUP, until ctx ends.
func (d *daemon) reloadOnHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.Hangup:
			_, _ = d.reload(ctx) // it is in the log and in the status
		}
	}
}

// reload reads the file again and puts into force what can be without a restart: the
// services, the idle timeouts and the log's level. What can't is named. A file that is
// wrong, or asks for more than there is room for, changes nothing. It goes on to the end,
// though who asked may go away.
func (d *daemon) reload(ctx context.Context) (api.Reload, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	c, changed, err := d.compare(d.Load, func(c *config.Config) (*control.Difference, error) {
		return d.control.Reload(context.WithoutCancel(ctx), c.Spec)
	})
	if errors.Is(err, control.ErrStopped) {
		d.log.Info("not reloaded", zap.Error(err))
		return api.Reload{}, err
	}
	if err != nil && !errors.Is(err, control.ErrCommit) {
		d.events.Record(events.Event{Kind: events.ReloadRefused, Severity: events.Error, Text: "reload refused; everything stays as it was", Reason: err.Error(), Outline: outline(err)})
		d.mu.Lock()
		d.state.reload = err
		d.mu.Unlock()
		return api.Reload{}, err
	}
	_ = d.keep() // it tells
	done := d.changes(c, changed)
	d.engine.SetTimeouts(timeouts(&c.Conntrack))
	d.level.SetLevel(level(c.Log))
	d.inForce = c
	d.reloaded(err, done.NeedsRestart)
	told := events.Event{Kind: events.Reload, Severity: events.Info, Text: "reloaded", Reason: summary(&done, true), Outline: summary(&done, false)}
	if err != nil {
		told.Severity, told.Text, told.Reason, told.Outline = events.Error, "reloaded, but not all of it is in force yet; it is tried again", err.Error(), ""
	}
	d.events.Record(told, zap.Uint64("generation", done.Generation), zap.Int("services", len(c.Spec.Services)))
	d.tellMeetings()
	if len(done.NeedsRestart) > 0 {
		d.events.Record(events.Event{
			Kind: events.Restart, Severity: events.Warning,
			Text: "changed in the file, but not in force before a restart: " + strings.Join(done.NeedsRestart, ", "),
		}, zap.Strings("keys", done.NeedsRestart))
	}
	return done, err
}

// preview says what a reload would do now, of the file or, if there is one, of another
// config. It changes nothing, and tells nobody else.
func (d *daemon) preview(ctx context.Context, other *api.ConfigText) (api.Reload, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	load := d.Load
	if other != nil {
		load = func() (*config.Config, error) { return d.Parse(other.Name, other.Text) }
	}
	c, changed, err := d.compare(load, func(c *config.Config) (*control.Difference, error) {
		return d.control.Preview(ctx, c.Spec)
	})
	if err != nil {
		return api.Reload{}, err
	}
	would := d.changes(c, changed)
	would.DryRun = true
	return would, nil
}

// compare loads a config and, if it is right and there is room for it, has it compared with
// what is in force, and put into its place or not.
func (d *daemon) compare(load func() (*config.Config, error), against func(*config.Config) (*control.Difference, error)) (*config.Config, *control.Difference, error) {
	c, err := load()
	if err == nil {
		err = d.room(&c.Spec)
	}
	var changed *control.Difference
	if err == nil {
		changed, err = against(c)
	}
	switch {
	case errors.As(err, new(config.Problems)), errors.As(err, new(*config.SyntaxError)), errors.Is(err, bpf.ErrFull):
		err = api.ConfigError{Err: err}
	case errors.As(err, new(doctor.MachineError)):
		err = api.MachineError{Err: err}
	}
	return c, changed, err
}

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
	c, err := d.Load()
	if err == nil {
		err = d.room(&c.Spec)
	}
	if err == nil {
		_, err = d.control.Reload(context.WithoutCancel(ctx), c.Spec)
	}
	if errors.Is(err, control.ErrStopped) {
		d.log.Info("not reloaded", zap.Error(err))
		return api.Reload{}, err
	}
	if errors.As(err, new(config.Problems)) || errors.Is(err, bpf.ErrFull) || errors.As(err, new(MachineError)) {
		err = api.ConfigError{Err: err}
	}
	if err != nil && !errors.Is(err, control.ErrCommit) {
		d.events.Record(events.Event{Kind: events.ReloadRefused, Severity: events.Error, Text: "reload refused; everything stays as it was", Reason: err.Error()})
		d.mu.Lock()
		d.state.reload = err.Error()
		d.mu.Unlock()
		return api.Reload{}, err
	}
	d.engine.SetTimeouts(timeouts(&c.Conntrack))
	d.level.SetLevel(level(c.Log))
	done := api.Reload{Generation: d.control.View().Generation(), NeedsRestart: c.NeedsRestart(d.config)}
	d.reloaded(outcome(err), done.NeedsRestart)
	told := events.Event{Kind: events.Reload, Severity: events.Info, Text: "reloaded"}
	if err != nil {
		told.Severity, told.Text, told.Reason = events.Error, "reloaded, but not all of it is in force yet; it is tried again", err.Error()
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

func outcome(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

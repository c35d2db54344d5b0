package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
)

// kept is what of the operators' changes is on the disk.
type kept struct {
	text []byte // the state file's content; nil: there is none
}

// recall returns the overrides that the state file has and that hold under the config. A
// file that can't be used is told of, put aside and else ignored: the balancer starts.
func (d *daemon) recall() control.Overrides {
	path := d.config.StateFile
	if path == config.NoStateFile {
		return nil
	}
	s, text, err := readState(path)
	if err != nil {
		aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405Z"))
		what := "it is kept as " + aside
		if moved := os.Rename(path, aside); moved != nil {
			what = "and it stays where it is: " + moved.Error()
		}
		text := "what operators had changed at run time is forgotten, since the state file can't be used; " + what
		d.events.Record(events.Event{Kind: events.StateFile, Severity: events.Error, Text: text, Reason: err.Error()})
		d.mu.Lock()
		d.state.forgotten = text
		d.mu.Unlock()
		return nil
	}
	d.kept.text = text
	overrides, ended := control.Restore(&d.config.Spec, s.Overrides)
	for i := range ended {
		d.events.Record(ended[i].Event())
	}
	return overrides
}

// change changes a backend at run time. It goes on to the end, though who asked may go away.
func (d *daemon) change(ctx context.Context, in *api.BackendOrder) (api.BackendChanged, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	c := control.Change{Service: in.Service, Backend: in.Backend, Action: in.Action, Volatile: in.Volatile}
	if in.Weight != nil {
		c.Weight = new(uint16(*in.Weight)) // the API has its bounds
	}
	done, err := d.control.Change(context.WithoutCancel(ctx), c)
	if errors.Is(err, control.ErrUnknown) {
		return api.BackendChanged{}, api.Unknown(err)
	}
	if err != nil {
		return api.BackendChanged{}, err
	}
	out := api.BackendChanged{
		Generation: done.Generation, Service: done.Service, Backend: done.Backend, Address: done.Address,
		Old: setting(&done.Old), New: setting(&done.New), Slots: done.Slots, Moved: done.Moved, Warnings: done.Warnings,
		Kept: !in.Volatile && d.config.StateFile != config.NoStateFile,
	}
	if err := d.keep(); err != nil && out.Kept {
		out.Kept = false
		out.Warnings = append(out.Warnings, "it is in force, but not kept over a restart: "+err.Error())
	}
	return out, nil
}

func setting(b *control.BackendView) api.BackendSetting {
	return api.BackendSetting{State: b.State, Weight: int(b.Weight), Override: b.Override.String()}
}

// keep has the state file say what is to be kept, and tells whether that works. Its caller
// holds the lock of reloads.
func (d *daemon) keep() error {
	path := d.config.StateFile
	if path == config.NoStateFile {
		return nil
	}
	list := d.control.Overrides().Kept()
	text := (&stateFile{stateVersion, list}).text()
	var err error
	if !bytes.Equal(text, d.kept.text) && (len(list) > 0 || d.kept.text != nil) { // nothing is what no file says, too
		if err = writeState(path, d.kept.text, text); err == nil {
			d.kept.text = text
		}
	}
	d.keeps(err)
	return err
}

// keeps notes whether the state file could be written, and tells of what has changed.
func (d *daemon) keeps(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	d.mu.Lock()
	before := d.state.unkept
	d.state.unkept, d.state.forgotten = why, "" // who changes or reloads something has seen it
	d.mu.Unlock()
	switch {
	case why != "" && why != before:
		d.events.Record(events.Event{
			Kind: events.StateFile, Severity: events.Error, Text: "what operators change at run time is in force, but not kept over a restart; trying again", Reason: why,
		})
	case why == "" && before != "":
		d.events.Record(events.Event{Kind: events.StateFile, Over: true, Severity: events.Info, Text: "what operators change at run time is kept over a restart again"})
	}
}

// keepRetry is the pause before a state file that could not be written is tried again.
const keepRetry = 10 * time.Second

// keepAgain writes the state file again if that did not work, until ctx ends.
func (d *daemon) keepAgain(ctx context.Context) {
	again := time.NewTicker(keepRetry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			d.mu.Lock()
			missing := d.state.unkept != ""
			d.mu.Unlock()
			if missing {
				d.reloading.Lock()
				_ = d.keep() // it tells
				d.reloading.Unlock()
			}
		}
	}
}

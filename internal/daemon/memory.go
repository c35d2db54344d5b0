package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/nic"
)

// fits says whether there is memory for the queues that are to be served.
func (d *daemon) fits(now *nic.State) error { return d.fitsBeside(now, 0) }

// fitsBeside says so while as many bytes of frames are still held.
func (d *daemon) fitsBeside(now *nic.State, held uint64) error {
	n, err := d.need(now, d.control.View().Spec)
	if err != nil {
		return err
	}
	n.Resident += held
	n.Locked += held
	return errors.Join(n.WithinGroup(), n.WithinLock())
}

// need is what serving a spec takes.
func (d *daemon) need(now *nic.State, spec *balancer.Spec) (doctor.Need, error) {
	settings := d.settings()
	several := settings.Grows || len(settings.Interfaces) > 1
	queues, err := engine.Queues(several, settings.Queues, now.RX)
	if err != nil {
		return doctor.Need{}, fmt.Errorf("%s: %w", now.Name, err)
	}
	workers := len(queues)
	if several { // the others' count
		workers = max(workers, len(d.engine.Info().Workers))
	}
	return doctor.NeedOf(&settings, spec, now, workers), nil
}

// room says whether there is memory for a spec in place of the one that is in force, as
// the next start with it would.
func (d *daemon) room(spec *balancer.Spec) error {
	names := slices.DeleteFunc(d.names(), func(name string) bool { return name == "" })
	now, err := nic.Look(names[0])
	if err != nil {
		return nil // its queues are held against the limit when it is back
	}
	is, err := d.need(&now, d.control.View().Spec)
	if err != nil {
		return nil
	}
	n, err := d.need(&now, spec)
	if err != nil || n.Resident <= is.Resident { // what is taken already is no news
		return err
	}
	return n.WithinGroup()
}

// roomToCapture says whether there is memory for one more capture: who looks at packets must not
// have the kernel kill the balancer.
func (d *daemon) roomToCapture() error {
	names := slices.DeleteFunc(d.names(), func(name string) bool { return name == "" })
	now, err := nic.Look(names[0])
	if err != nil {
		return nil // nothing comes by it
	}
	n, err := d.need(&now, d.control.View().Spec)
	if err != nil {
		return nil
	}
	n.Resident += uint64(d.engine.Taps()+1) * engine.TapMemory
	if err := n.WithinGroup(); err != nil {
		return fmt.Errorf("there is no room for a capture of %d MB: %w", engine.TapMemory/1_000_000, err)
	}
	return nil
}

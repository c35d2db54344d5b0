package daemon

import (
	"slices"

	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/report"
)

// reseat gives numbers to the interfaces that are to be served now, while none is. A bond
// without slaves stands for itself, as in [egress.Port].
func (d *daemon) reseat() error {
	var names []string
	for _, name := range d.config.Interfaces {
		slaves, err := nic.Slaves(name)
		if err != nil {
			slaves = []string{name}
		}
		for _, s := range slaves {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	seats, _ := egress.Seat(d.names(), names)
	for i, name := range seats {
		if err := d.rename(i, name); err != nil {
			return err
		}
	}
	return nil
}

// rename gives the number of an interface that is not served to another one, or to none.
func (d *daemon) rename(i int, name string) error {
	if d.name(i) == name {
		return nil
	}
	if err := d.engine.Name(i, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i == len(d.state.ports) {
		d.state.ports = append(d.state.ports, report.Port{})
	}
	d.state.ports[i] = report.Port{Name: name}
	return nil
}

// name returns what the interface with a number is called; empty: nobody has it.
func (d *daemon) name(i int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i >= len(d.state.ports) {
		return ""
	}
	return d.state.ports[i].Name
}

// names returns all, by number.
func (d *daemon) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, len(d.state.ports))
	for i := range names {
		names[i] = d.state.ports[i].Name
	}
	return names
}

// rename has the number of an interface be another one's, as the watcher has it. It reports
// whether it is.
func (k *keeper) rename(i int, name string) (ok bool) {
	d := k.daemon
	if k.index[i] != 0 {
		d.events.Record(events.Event{Kind: events.Port, Severity: events.Info, Interface: d.name(i), Text: "the interface is no slave any more"})
		if !k.drop(i, errNoSlave) {
			return false
		}
	}
	if err := d.rename(i, name); err != nil {
		d.events.Record(events.Event{Kind: events.Interface, Severity: events.Error, Interface: name, Text: "serve another interface", Reason: err.Error()})
		return false
	}
	return true
}

package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/report"
)

// machineInterval is how often the machine is looked at: nothing tells of what an operator changes
// there, and to look takes some milliseconds.
const machineInterval = time.Minute

// watchMachine notes what of the machine is not as it should be, at the start and from then on,
// until ctx ends.
func (d *daemon) watchMachine(ctx context.Context) {
	for {
		again := machineInterval
		if !d.examine() {
			again = retryInterval
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// examine looks at the machine once, and reports whether there are workers, of whose CPUs something
// can be said. That it can't be looked at is no warning of the balancer's: doctor says so.
func (d *daemon) examine() (whole bool) {
	ports := slices.DeleteFunc(d.names(), func(name string) bool { return name == "" })
	var cpus []int
	for _, w := range d.engine.Info().Workers {
		cpus = append(cpus, w.CPU)
	}
	m, err := doctor.LookAtMachine(d.control.View().Spec, ports, cpus)
	if err == nil {
		d.find("", ofMachine(m.Told()))
	}
	return len(cpus) > 0
}

// ofMachine returns findings as the status has them: one of each kind, by which nothing that comes
// is lost.
func ofMachine(list []doctor.Finding) (noted []report.Finding) {
	more := map[string]int{}
	for i := range list {
		f := &list[i]
		if finding(noted, f.Check) != nil {
			more[f.Check]++
			continue
		}
		noted = append(noted, report.Finding{Code: f.Check, Text: f.Text()})
	}
	for i := range noted {
		if n := more[noted[i].Code]; n > 0 {
			noted[i].Text += fmt.Sprintf(" (and %d more: afxlb doctor)", n)
		}
	}
	return noted
}

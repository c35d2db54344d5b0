package daemon

import (
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
)

// Of one kind there is one warning, whatever they are many of; none of the machine's makes the
// balancer a degraded one, and they outlive an interface that goes away.
func TestFindingsOfTheMachine(t *testing.T) {
	list := ofMachine([]doctor.Finding{
		{Check: "firewall", What: "rule 1", Severity: doctor.Warning},
		{Check: "neighbours", What: "too few", Severity: doctor.Cannot},
		{Check: "firewall", What: "rule 2", Severity: doctor.Warning},
		{Check: "firewall", What: "rule 3", Severity: doctor.Warning},
	})
	if len(list) != 2 || list[0].Text != "rule 1 (and 2 more: afxlb doctor)" || list[1].Text != "too few" || list[1].Loss {
		t.Fatalf("%+v", list)
	}
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log)}
	d.find("", list)
	d.find("eth0", noted([]doctor.Finding{{Check: "lro", Interface: "eth0", Severity: doctor.Cannot, What: "LRO is on"}}))
	if f := finding(d.state.findings, "lro"); f == nil || !f.Loss || f.Text != "eth0: LRO is on" {
		t.Errorf("%+v", d.state.findings)
	}
	d.enter(api.StateWaiting, errInterfaceGone)
	if len(d.state.findings) != 2 {
		t.Errorf("while the interface is away: %+v", d.state.findings)
	}
	list[1].Text = "too few, by one more"
	d.find("", list)
	if f := finding(d.state.findings, "neighbours"); f == nil || f.Text != list[1].Text || strings.Count(out.String(), `"too few`) != 1 {
		t.Errorf("a count goes on, and it is told again: %+v\n%s", f, out.String())
	}
	d.find("", ofMachine(nil))
	if len(d.state.findings) != 0 || !strings.Contains(out.String(), "over: too few") {
		t.Errorf("mended: %+v\n%s", d.state.findings, out.String())
	}
}

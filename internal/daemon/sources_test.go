package daemon

import (
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/events"
)

// That source ports run out is said once, when they do, and when none are left, and that there
// are enough again when that is so, whatever goes to and fro between.
func TestSourcesAreToldOnce(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{events: events.NewRecorder(log)}
	var before map[backendName]bool
	for _, step := range []struct {
		taken int
		said  string // of what is new
	}{
		{10, ""}, {79, ""}, {80, "80 of 100"}, {79, ""}, {81, ""}, {100, "all 100"}, {99, ""}, {100, ""}, {71, ""}, {80, ""}, {70, "enough source ports again"}, {79, ""}, {80, "80 of 100"},
	} {
		out.Reset()
		before = d.saySources([]api.SnatPorts{{Service: "web", Backend: "a", Taken: step.taken, Total: 100}}, before)
		if got := out.String(); (got == "") != (step.said == "") || !strings.Contains(got, step.said) {
			t.Errorf("at %d of 100 it says %q, want %q", step.taken, got, step.said)
		}
	}
	out.Reset()
	if before = d.saySources(nil, before); len(before) != 0 || !strings.Contains(out.String(), "enough") {
		t.Errorf("without any it says %q", out.String())
	}
}

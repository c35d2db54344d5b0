package daemon

import (
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
)

// Each notice is said when it is met, and never again.
func TestNoticesAreSaidOnce(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log), config: &config.Config{Interfaces: config.InterfaceList{"eth0"}}}
	var total engine.Counters
	left := d.say(notices, &total)
	if len(left) != len(notices) || out.Len() > 0 {
		t.Errorf("%d of %d are left, and nothing was met:\n%s", len(left), len(notices), out.String())
	}
	for i, step := range []struct {
		count *uint64
		text  string
	}{
		{&total.Verdicts[packet.DropPuntFailed], "given back to the kernel"},
		{&total.Completed, "unfinished checksums"},
	} {
		for range 2 {
			*step.count += 3
			if left = d.say(left, &total); len(left) != len(notices)-i-1 {
				t.Errorf("%s: %d are left", step.text, len(left))
			}
		}
		if n := strings.Count(out.String(), step.text); n != 1 {
			t.Errorf("%s is said %d times:\n%s", step.text, n, out.String())
		}
	}
}

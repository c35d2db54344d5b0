//go:build tools

package metrics

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What Prometheus's own tool has to say of a scrape, of the alert rules and of their tests.
// make test-tools runs it; it needs promtool (Debian's prometheus).
func TestToolsPromtool(t *testing.T) {
	run := func(in string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		c := exec.Command("promtool", args...)
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(in), &out, &out
		c.Dir = filepath.Dir(rules)
		if err := c.Run(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out.Bytes())
		}
	}
	run(scraped(t, probed(), "text/plain"), "check", "metrics")
	run("", "check", "rules", filepath.Base(rules))
	run("", "test", "rules", filepath.Base(ruleTests))
}

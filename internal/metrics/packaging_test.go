package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	rules     = "../../packaging/prometheus/afxlb.rules.yaml"
	ruleTests = "../../packaging/prometheus/afxlb_test.yaml"
	dashboard = "../../packaging/grafana/afxlb.json"
)

// Each metric that the alerts, their tests and the dashboard use is in a scrape, with the
// labels that they use.
func TestPackagingUsesWhatThereIs(t *testing.T) {
	series := regexp.MustCompile(`\b(afxlb_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)=~?\\?"`)
	text := scraped(t, probed(), "text/plain")
	for _, path := range []string{rules, ruleTests, dashboard} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range series.FindAllStringSubmatch(string(data), -1) {
			if m[1] == "afxlb_test" { // the file's own name
				continue
			}
			found++
			line := regexp.MustCompile(`(?m)^` + m[1] + `(\{.*)? `).FindString(text)
			if line == "" {
				t.Errorf("%s: there is no %s", path, m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if l[1] != "instance" && l[1] != "job" && !strings.Contains(line, l[1]+"=") { // these two Prometheus adds
					t.Errorf("%s: %s has no label %s", path, m[1], l[1])
				}
			}
		}
		if found < 10 {
			t.Errorf("%s: only %d metrics", path, found)
		}
	}
}

// Grafana reads the dashboard: it is JSON, and no two panels have one number or one place.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ X, Y, W, H int }
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos place
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	seen := map[any]bool{}
	for _, p := range d.Panels {
		g := p.GridPos
		if seen[p.ID] || seen[g] || p.Title == "" || len(p.Targets) == 0 || g.X+g.W > 24 {
			t.Errorf("panel %d %q at %+v", p.ID, p.Title, g)
		}
		seen[p.ID], seen[g] = true, true
		for _, q := range p.Targets {
			if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") || strings.Count(q.Expr, "{") != strings.Count(q.Expr, "}") {
				t.Errorf("%s: %s", p.Title, q.Expr)
			}
		}
	}
	if d.Title != "afxlb" || len(d.Panels) < 10 {
		t.Errorf("%q with %d panels", d.Title, len(d.Panels))
	}
}

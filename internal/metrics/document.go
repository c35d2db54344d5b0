package metrics

import (
	"fmt"
	"strings"
)

// Document returns docs/METRICS.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Metrics

` + "`afxlb`" + ` offers them to Prometheus on ` + "`/metrics`" + ` of the address that ` + "`listen`" + ` names, as text or
OpenMetrics, besides those of the process (` + "`process_*`" + `) and of Go (` + "`go_*`" + `). Whoever reaches that
address reads them; nothing can be changed there.

packaging/prometheus has alert rules, and tests that show each one fire on the fault that it is
for; packaging/grafana has a dashboard. Both expect the job to be named ` + "`afxlb`" + `:

    scrape_configs:
      - job_name: afxlb
        static_configs: [{targets: ["127.0.0.1:9190"]}]

Made by ` + "`make generate`" + ` from internal/metrics/families.go.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for f := range Families() {
		labels := ""
		for _, name := range f.Labels {
			labels += ", `" + name + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.TrimPrefix(labels, ", "), f.Help)
	}
	return b.String()
}

package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"

	"github.com/afxlb/afxlb/bench/result"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// Write writes the plots and index.html, which has all of them in it and loads
// nothing, to dir. It returns the page's path.
func Write(dir string, f *result.File) (string, error) {
	type table struct {
		Title    string
		Headings []string
		Rows     [][]string
	}
	data := struct {
		File   *result.File
		Plots  []template.HTML
		Note   string
		Tables []table
	}{File: f}
	for _, p := range charts(f) {
		svg := p.chart.svg()
		if err := os.WriteFile(filepath.Join(dir, p.file), []byte(svg), 0o644); err != nil {
			return "", fmt.Errorf("write plot: %w", err)
		}
		data.Plots = append(data.Plots, template.HTML(svg)) // our own, its texts escaped
		if strings.Contains(svg, katran[0].name) {
			data.Note = katranNote
		}
	}
	for _, g := range groups(f) {
		t := table{Title: g.suite + ": " + g.name, Headings: append([]string{""}, g.headings()...)}
		for _, c := range g.cases {
			t.Rows = append(t.Rows, append([]string{c.Name}, g.cells(c, len(g.columns))...))
		}
		data.Tables = append(data.Tables, t)
	}
	var b strings.Builder
	if err := page.Execute(&b, data); err != nil {
		return "", fmt.Errorf("write page: %w", err)
	}
	path := filepath.Join(dir, "index.html")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return "", fmt.Errorf("write page: %w", err)
	}
	return path, nil
}

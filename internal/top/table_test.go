package top

import (
	"slices"
	"testing"
)

// Whatever the width: each table's columns fit, the first is there, and the wider the
// screen the more of them.
func TestLayout(t *testing.T) {
	for k, v := range views {
		rows := []row{{cells: make([]cell, len(v.columns))}}
		for i := range rows[0].cells {
			rows[0].cells[i].text = string(make([]byte, 60))
		}
		wide, last := widths(v.columns, rows), 0
		for width := range 700 {
			shown := layout(v.columns, wide, width)
			need := -1
			for _, p := range shown {
				if c := &v.columns[p.column]; len(shown) > 1 && (p.width < c.width || p.width > max(c.most, c.width)) {
					t.Errorf("%s on %d: %s has %d", Kind(k), width, c.title, p.width)
				}
				need += p.width + 1
			}
			if need > width || shown[0].column != 0 || len(shown) < last {
				t.Errorf("%s on %d: %d columns need %d", Kind(k), width, len(shown), need)
			}
			last = len(shown)
		}
		if last != len(v.columns) {
			t.Errorf("%s never shows all its columns", Kind(k))
		}
	}
}

// Each column has a cell and room for its title, and on 80 columns a table has what it is for.
func TestColumns(t *testing.T) {
	need := [numKinds][]string{
		services: {"SERVICE", "STATE", "UP", "LIVE", "NEW/s", "pkt/s IN", "pkt/s OUT", "bit/s IN", "bit/s OUT"},
		backends: {"BACKEND", "STATE", "WEIGHT", "LIVE", "NEW/s", "pkt/s IN", "pkt/s OUT", "bit/s IN", "bit/s OUT"},
		workers:  {"QUEUE", "CPU", "recv/s", "fwd/s", "drop/s", "FREE", "TO-RECV", "TO-SEND"},
		ports:    {"INTERFACE", "STATE", "BIND", "recv/s", "sent/s"},
		drops:    {"REASON", "drop/s", "PACKETS", "MEANING"},
		events:   {"TIME", "LEVEL", "ABOUT", "KIND", "WHAT"},
		warnings: {"CODE", "TEXT"},
	}
	for k := range numKinds {
		s := newScreen(t, 80, 24, Options{View: k, Service: "web"})
		s.pass()
		for i, c := range s.view().columns {
			if len(c.title) > c.width {
				t.Errorf("%s: %s is wider than %d", k, c.title, c.width)
			}
			for _, r := range s.rows {
				if len(r.cells) != len(s.view().columns) {
					t.Fatalf("%s: %d cells, %d columns", k, len(r.cells), len(s.view().columns))
				}
				if (r.cells[i].print != nil) != (s.rows[0].cells[i].print != nil) && r.cells[i].text != "" {
					t.Errorf("%s: %s has numbers and texts", k, c.title)
				}
			}
		}
		var shown []string
		for _, p := range s.shown() {
			shown = append(shown, s.view().columns[p.column].title)
		}
		for _, title := range need[k] {
			if !slices.Contains(shown, title) {
				t.Errorf("%s: no %s on 80 columns, only %q", k, title, shown)
			}
		}
	}
}

package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/afxlb/afxlb/bench/result"
)

// Table writes everything as tables for a terminal: cases that belong together below
// each other, each case's headline with its spread, and without details.
func Table(w io.Writer, f *result.File) {
	fmt.Fprintf(w, "%s\ncommit %s, %s, took %s; median (min–max) of all rounds\n", f.Machine, f.Commit, f.Started.Format("2006-01-02 15:04"), f.Took.Round(1e9))
	for _, n := range f.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, g := range groups(f) {
		fmt.Fprintf(w, "\n%s: %s\n", g.suite, g.name)
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprint(t, "  ")
		for i, h := range g.headings() {
			if !g.columns[i].Detail {
				fmt.Fprintf(t, "\t%s", h)
			}
		}
		fmt.Fprintln(t)
		for _, c := range g.cases {
			fmt.Fprintf(t, "  %s", c.Name)
			for i, cell := range g.cells(c, 1) {
				if !g.columns[i].Detail {
					fmt.Fprintf(t, "\t%s", cell)
				}
			}
			fmt.Fprintln(t)
		}
		_ = t.Flush() // as good as w is
	}
}

// group is the cases under one heading.
type group struct {
	suite, name string
	cases       []*result.Case
	columns     []*result.Figure // all that some case has, in order of appearance
}

// groups returns the file's cases in groups, in order of appearance.
func groups(f *result.File) []*group {
	var all []*group
	at := map[[2]string]*group{}
	for _, c := range f.Cases {
		key := [2]string{c.Suite, c.Table}
		g := at[key]
		if g == nil {
			g = &group{suite: c.Suite, name: c.Table}
			at[key] = g
			all = append(all, g)
		}
		g.add(c)
	}
	return all
}

func (g *group) add(c *result.Case) {
	g.cases = append(g.cases, c)
next:
	for _, figure := range c.Figures {
		for _, has := range g.columns {
			if has.Name == figure.Name {
				continue next
			}
		}
		g.columns = append(g.columns, figure)
	}
}

func (g *group) headings() []string {
	var h []string
	for _, c := range g.columns {
		h = append(h, heading(c.Name, c.Unit))
	}
	return h
}

// cells returns a case's figures by column, the first so many with their spreads.
func (g *group) cells(c *result.Case, spreads int) []string {
	var cells []string
	for i, column := range g.columns {
		figure := c.Figure(column.Name)
		switch {
		case figure == nil:
			cells = append(cells, "–")
		case i < spreads:
			cells = append(cells, spread(figure.Spread(), figure.Unit))
		default:
			cells = append(cells, number(figure.Spread().Median, figure.Unit))
		}
	}
	return cells
}

package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/afxlb/afxlb/bench/result"
)

// Change is how a figure of one file became that of another.
type Change struct {
	Case, Figure, Unit string
	A, B               result.Spread
	Percent            float64 // of the medians; 0 if A's is 0
	Judgement          Judgement
}

// Judgement says what a change means.
type Judgement string

// The judgements. A change is noise if the two spreads overlap.
const (
	Better Judgement = "better"
	Worse  Judgement = "worse"
	Noise  Judgement = "~"
)

// Changes returns what happened to the figures that both files have: to each case's
// headline, or to all. missing names the cases that only one file has.
func Changes(a, b *result.File, all bool) (changes []Change, missing []string) {
	for _, ca := range a.Cases {
		cb := b.Case(ca.Suite, ca.Name)
		if cb == nil {
			missing = append(missing, fmt.Sprintf("%s %s: only in the first", ca.Suite, ca.Name))
			continue
		}
		for i, fa := range ca.Figures {
			if fb := cb.Figure(fa.Name); fb != nil && (i == 0 || all) {
				changes = append(changes, change(ca, fa, fb))
			}
		}
	}
	for _, cb := range b.Cases {
		if a.Case(cb.Suite, cb.Name) == nil {
			missing = append(missing, fmt.Sprintf("%s %s: only in the second", cb.Suite, cb.Name))
		}
	}
	return changes, missing
}

func change(c *result.Case, fa, fb *result.Figure) Change {
	a, b := fa.Spread(), fb.Spread()
	ch := Change{Case: c.Suite + " " + c.Name, Figure: fa.Name, Unit: fa.Unit, A: a, B: b, Judgement: Noise}
	if a.Median != 0 {
		ch.Percent = (b.Median - a.Median) / a.Median * 100
	}
	switch {
	case a.Overlaps(b):
	case (b.Median > a.Median) == fa.More:
		ch.Judgement = Better
	default:
		ch.Judgement = Worse
	}
	return ch
}

// Compare writes the changes from a to b as a table.
func Compare(w io.Writer, a, b *result.File, all bool) {
	fmt.Fprintf(w, "A: %s, %s\nB: %s, %s\n", a.Commit, a.Machine, b.Commit, b.Machine)
	if a.Machine.CPU != b.Machine.CPU || a.Machine.Kernel != b.Machine.Kernel {
		fmt.Fprintln(w, "note: the machines differ, so what differs below need not be the code")
	}
	fmt.Fprintln(w)
	changes, missing := Changes(a, b, all)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "case\tfigure\tA\tB\tchange\t\n")
	counts := map[Judgement]int{}
	for _, c := range changes {
		counts[c.Judgement]++
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%+.1f %%\t%s\n", c.Case, heading(c.Figure, c.Unit), spread(c.A, c.Unit), spread(c.B, c.Unit), c.Percent, c.Judgement)
	}
	_ = t.Flush() // as good as w is
	for _, m := range missing {
		fmt.Fprintln(w, m)
	}
	fmt.Fprintf(w, "\n%d better, %d worse, %d within the noise (~: the spreads overlap)\n", counts[Better], counts[Worse], counts[Noise])
}

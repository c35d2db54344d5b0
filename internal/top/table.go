package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// column is one of a table.
type column struct {
	title string
	width int  // it takes so many characters
	most  int  // and up to so many if its texts are longer and there is room
	rank  int  // where there is no room, those of the highest rank go
	left  bool // its texts begin at the left
	state bool // its texts are states, and look like these
}

// cell is a text, or a number that becomes one when it is seen.
type cell struct {
	text  string
	value float64
	print func(float64) string // nil: text
}

func (c *cell) String() string {
	if c.print != nil {
		return c.print(c.value)
	}
	if c.text == "" {
		return "-"
	}
	return clean(c.text)
}

// word is a cell of text.
func word(s string) cell { return cell{text: s} }

// number is a cell of a number.
func number[N int | int64 | uint64 | uint32 | float64](n N) cell {
	return cell{value: float64(n), print: amount}
}

// exactly is a cell of a number whose every digit matters.
func exactly[N int | uint32](n N) cell {
	return cell{value: float64(n), print: func(v float64) string { return fmt.Sprintf("%.0f", v) }}
}

// row is one of a table.
type row struct {
	key   string // the thing, whatever it is called and wherever it stands
	name  string // what the API calls it
	cells []cell // a column each
}

// matches reports whether any text of the row has a filter's, in capitals or not.
func (r *row) matches(filter string) bool {
	for i := range r.cells {
		if r.cells[i].print == nil && strings.Contains(strings.ToLower(r.cells[i].text), filter) {
			return true
		}
	}
	return false
}

// order is how a table's rows are sorted.
type order struct {
	by   int  // a column's number; -1: as the balancer lists them
	down bool // the largest first
}

// sort sorts rows. What is not known is less than all else, and equals stay as they are.
func (o order) sort(rows []row) {
	if o.by < 0 {
		if o.down {
			slices.Reverse(rows)
		}
		return
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		x, y := &a.cells[o.by], &b.cells[o.by]
		c := cmp.Compare(x.value, y.value) // NaN is less than all numbers
		if x.print == nil {
			c = strings.Compare(strings.ToLower(x.text), strings.ToLower(y.text))
		}
		if o.down {
			return -c
		}
		return c
	})
}

// place is where a column is shown.
type place struct{ column, width int }

// widths returns how wide the texts of columns are that may be wider than they must be.
func widths(columns []column, rows []row) []int {
	wide := make([]int, len(columns))
	for i, c := range columns {
		if wide[i] = c.width; c.most <= c.width {
			continue
		}
		for j := range rows {
			text := rows[j].cells[i].text
			if len(text) > wide[i] { // else it is not wider either
				wide[i] = max(wide[i], ansi.StringWidth(text))
			}
		}
		wide[i] = min(wide[i], c.most)
	}
	return wide
}

// layout returns which columns are shown on so many characters, with one between them.
// What is to spare goes to those whose texts are wider, by the character.
func layout(columns []column, wide []int, width int) (shown []place) {
	need := -1
	for i, c := range columns {
		shown = append(shown, place{i, c.width})
		need += c.width + 1
	}
	for need > width && len(shown) > 1 {
		last := 0
		for i := range shown {
			if columns[shown[i].column].rank >= columns[shown[last].column].rank {
				last = i
			}
		}
		need -= shown[last].width + 1
		shown = slices.Delete(shown, last, last+1)
	}
	for grown := true; grown && need < width; {
		grown = false
		for i := range shown {
			if p := &shown[i]; p.width < wide[p.column] && need < width {
				p.width, need, grown = p.width+1, need+1, true
			}
		}
	}
	if len(shown) == 1 {
		shown[0].width = min(shown[0].width, max(0, width))
	}
	return shown
}

// natural returns all columns, as wide as their texts are.
func natural(columns []column, rows []row) (shown []place) {
	for i, c := range columns {
		width := len(c.title)
		for j := range rows {
			width = max(width, ansi.StringWidth(rows[j].cells[i].String()))
		}
		shown = append(shown, place{i, width})
	}
	return shown
}

// line puts a row's visible cells into words; look is what states look like, if at all.
func line(columns []column, shown []place, r *row, look func(state string) ansi.Style) string {
	var b strings.Builder
	for i, p := range shown {
		if i > 0 {
			b.WriteByte(' ')
		}
		c := &columns[p.column]
		text := fit(r.cells[p.column].String(), p.width, c.left)
		if look != nil && c.state {
			text = look(r.cells[p.column].text).Styled(text)
		}
		b.WriteString(text)
	}
	return b.String()
}

// head is the line of titles; that of the column by which the rows are sorted stands out.
func head(columns []column, shown []place, by int, style bool) string {
	var b strings.Builder
	for i, p := range shown {
		if i > 0 {
			b.WriteByte(' ')
		}
		c := &columns[p.column]
		text := fit(c.title, p.width, c.left)
		if style {
			if p.column == by {
				text = chosen.Styled(text)
			} else {
				text = strong.Styled(text)
			}
		}
		b.WriteString(text)
	}
	return b.String()
}

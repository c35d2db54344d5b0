package report

import (
	"fmt"
	"math"
	"strings"
)

// bars is a bar chart from zero: groups beside each other, one bar of each series in
// each.
type bars struct {
	title, y string
	groups   []string
	series   []barSeries
}

// barSeries is the bars of one colour, one a group.
type barSeries struct {
	name   string
	values []bar
}

// bar is a median with its ends; all zero where there is none.
type bar struct{ value, min, max float64 }

// svg draws the chart.
func (c *bars) svg() string {
	var b strings.Builder
	most := 1e-9
	for _, s := range c.series {
		for _, v := range s.values {
			most = max(most, v.value, v.max)
		}
	}
	step := nice(most / 5)
	most = math.Ceil(most/step) * step
	py := func(y float64) float64 { return top + plotHeight*(1-y/most) }

	frame(&b, c.title, c.y)
	for y := 0.0; y <= most*1.001; y += step {
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/>`+"\n", left, py(y), plotWidth)
		text(&b, left-8, py(y)+4, `text-anchor="end"`, short(y))
	}
	group := plotWidth / float64(max(len(c.groups), 1))
	wide := group * 0.8 / float64(max(len(c.series), 1))
	for i, name := range c.groups {
		for line, word := range strings.Fields(name) { // below each other, since names are long
			text(&b, left+group*(float64(i)+0.5), float64(top+plotHeight+20+14*line), `text-anchor="middle"`, word)
		}
	}
	for i, s := range c.series {
		for j, v := range s.values {
			x := left + group*(float64(j)+0.1) + wide*float64(i)
			v.draw(&b, x, wide, py, colours[i%len(colours)])
		}
		y := float64(top + 8 + 20*i)
		fmt.Fprintf(&b, `<rect x="%d" y="%.1f" width="22" height="10" fill="%s"/>`+"\n", width-right+16, y-5, colours[i%len(colours)])
		text(&b, width-right+44, y+4, "", s.name)
	}
	fmt.Fprintf(&b, `<path d="M%d %dh%d" stroke="#222"/>`+"\n", left, top+plotHeight, plotWidth)
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws a bar with its spread, and its value above if there is room.
func (v bar) draw(b *strings.Builder, x, wide float64, py func(float64) float64, colour string) {
	if v == (bar{}) {
		return
	}
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, py(v.value), wide*0.92, py(0)-py(v.value), colour)
	if v.max > v.min {
		fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="#222"/>`+"\n", x+wide*0.46, py(v.max), py(v.min))
	}
	if wide >= 26 {
		text(b, x+wide*0.46, py(max(v.value, v.max))-4, `text-anchor="middle" font-size="10"`, short(v.value))
	}
}

// short writes a number for an axis: 20k, 1.50M.
func short(v float64) string { return strings.ReplaceAll(number(v, ""), " ", "") }

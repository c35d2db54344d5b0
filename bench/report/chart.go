package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a line chart with a logarithmic x axis, and a y axis from zero or
// logarithmic too.
type chart struct {
	title, x, y string
	lines       []series
	logY        bool
	tick        func(x float64) string // writes a decade of x; nil: its number
}

// series is one line of a chart.
type series struct {
	name   string
	dashed bool // not measured in this run
	points []point
}

// point is a median with its ends.
type point struct{ x, y, min, max float64 }

const (
	width, height            = 760, 420
	left, right, top, bottom = 64, 250, 40, 52
	plotWidth                = width - left - right
	plotHeight               = height - top - bottom
)

// colours are Okabe and Ito's, which most people can tell apart.
var colours = []string{"#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#222222", "#f0e442"}

// svg draws the chart.
func (c *chart) svg() string {
	var b strings.Builder
	minX, maxX := c.boundsX()
	ticks, py := c.scaleY()
	tick := c.tick
	if tick == nil {
		tick = short
	}
	px := func(x float64) float64 {
		return left + plotWidth*(math.Log10(x)-math.Log10(minX))/(math.Log10(maxX)-math.Log10(minX))
	}

	frame(&b, c.title, c.y)
	for _, y := range ticks {
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/>`+"\n", left, py(y), plotWidth)
		text(&b, left-8, py(y)+4, `text-anchor="end"`, digits(y))
	}
	for x := minX; x <= maxX*1.001; x *= 10 {
		fmt.Fprintf(&b, `<path d="M%.1f %dv5" stroke="#222"/>`+"\n", px(x), top+plotHeight)
		text(&b, px(x), top+plotHeight+20, `text-anchor="middle"`, tick(x))
	}
	fmt.Fprintf(&b, `<path d="M%d %dh%d" stroke="#222"/>`+"\n", left, top+plotHeight, plotWidth)
	text(&b, left+plotWidth/2, height-10, `text-anchor="middle"`, c.x)
	for i, s := range c.lines {
		s.draw(&b, i, px, py)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// frame begins a picture: the sheet, its title and what the y axis says.
func frame(b *strings.Builder, title, y string) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#222">`+"\n", width, height, width, height)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text(b, left, 22, `font-size="15" font-weight="bold"`, title)
	text(b, 0, 0, fmt.Sprintf(`text-anchor="middle" transform="translate(16 %d) rotate(-90)"`, top+plotHeight/2), y)
}

// draw draws the i-th line, its spreads, and its entry in the legend.
func (s *series) draw(b *strings.Builder, i int, px, py func(float64) float64) {
	colour, dash := colours[i%len(colours)], ""
	if s.dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	path := "M"
	for _, p := range s.points {
		path += fmt.Sprintf("%.1f %.1f ", px(p.x), py(p.y))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.TrimSpace(path), colour, dash)
	for _, p := range s.points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px(p.x), py(p.y), colour)
		if p.max > p.min {
			fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="%s"/>`+"\n", px(p.x), py(p.max), py(p.min), colour)
		}
	}
	y := float64(top + 8 + 20*i)
	fmt.Fprintf(b, `<path d="M%d %.1fh22" stroke="%s" stroke-width="2"%s/>`+"\n", width-right+16, y, colour, dash)
	text(b, width-right+44, y+4, "", s.name)
}

func text(b *strings.Builder, x, y float64, attributes, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
}

// boundsX returns the decades that x lies in.
func (c *chart) boundsX() (least, most float64) {
	least = math.Inf(1)
	for _, s := range c.lines {
		for _, p := range s.points {
			least, most = min(least, p.x), max(most, p.x)
		}
	}
	return decades(least, most)
}

// decades widens a range to whole decades, one at least.
func decades(least, most float64) (float64, float64) {
	least = math.Pow(10, math.Floor(math.Log10(least)+1e-9))
	most = math.Pow(10, math.Ceil(math.Log10(most)-1e-9))
	return least, max(most, 10*least)
}

// scaleY returns the marks of the y axis, and where a value is on the sheet.
func (c *chart) scaleY() (ticks []float64, py func(float64) float64) {
	least, most := math.Inf(1), 1e-9
	for _, s := range c.lines {
		for _, p := range s.points {
			most = max(most, p.y, p.max)
			for _, y := range []float64{p.y, p.min} {
				if y > 0 {
					least = min(least, y)
				}
			}
		}
	}
	if !c.logY {
		step := nice(most / 5)
		most = math.Ceil(most/step) * step
		for y := 0.0; y <= most*1.001; y += step {
			ticks = append(ticks, y)
		}
		return ticks, func(y float64) float64 { return top + plotHeight*(1-y/most) }
	}
	least, most = decades(min(least, most), most)
	for y := least; y <= most*1.001; y *= 10 {
		ticks = append(ticks, y)
	}
	return ticks, func(y float64) float64 {
		return top + plotHeight*(1-math.Log10(max(y, least)/least)/math.Log10(most/least))
	}
}

// nice rounds up to 1, 2 or 5 times a power of ten.
func nice(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*p {
			return m * p
		}
	}
	return 10 * p
}

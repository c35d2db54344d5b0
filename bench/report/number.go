package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/afxlb/afxlb/bench/result"
)

// number writes a value of a unit with three digits: 73.4 ns, 13.6 M/s, 1.02 ms.
func number(v float64, unit string) string {
	switch {
	case unit == "ns":
		for _, u := range []string{"ns", "µs", "ms"} {
			if math.Abs(v) < 999.5 {
				return digits(v) + " " + u
			}
			v /= 1000
		}
		return digits(v) + " s"
	case strings.HasSuffix(unit, "/s") || unit == "":
		prefix := ""
		for _, p := range []string{" k", " M", " G"} {
			if math.Abs(v) < 999.5 {
				break
			}
			v, prefix = v/1000, p
		}
		return digits(v) + prefix
	}
	return digits(v)
}

// digits writes a value with three digits, and none behind whole numbers.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e6, a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.0095:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// spread writes the median with both ends, or one number if they are the same.
func spread(s result.Spread, unit string) string {
	if s.Min == s.Max {
		return number(s.Median, unit)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median, unit), number(s.Min, unit), number(s.Max, unit))
}

// heading names a figure and the unit that number does not write.
func heading(name, unit string) string {
	if unit == "" || unit == "ns" {
		return name
	}
	return name + " " + unit
}

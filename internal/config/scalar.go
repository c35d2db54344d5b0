package config

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

// maxText bounds a single value, in bytes. Nothing needs more, and a message about
// it holds it whole.
const maxText = 1024

// set reads a scalar into dst. It takes the text as it stands in the file: what
// that means is for parse to say, not for YAML's rules on 0-3, 08 or 1e3.
func set[T any](v value, dst *T, parse func(string) (T, error)) {
	if v.node.Kind != yaml.ScalarNode {
		v.problem("want a single value, not %s", kind(v.node))
		return
	}
	if len(v.node.Value) > maxText {
		v.problem("%d bytes are too long; want at most %d", len(v.node.Value), maxText)
		return
	}
	got, err := parse(v.node.Value)
	if err != nil {
		v.problem("%v%s", err, didYouMean(err))
		return
	}
	*dst = got
}

// didYouMean adds to the error about an unknown name what it is here, or the nearest known one.
func didYouMean(err error) string {
	var unknown *balancer.UnknownNameError
	if errors.As(err, &unknown) {
		if ours := instead(unknown.What, unknown.Name); ours != "" {
			return ours
		}
		if near := nearest(unknown.Name, unknown.Known); near != "" {
			return fmt.Sprintf(" (did you mean %q?)", near)
		}
	}
	return ""
}

func parseText(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("is empty; give it a value or leave the key out")
	}
	return s, nil
}

// parseNumber returns a parser of whole numbers from low to high.
func parseNumber[T int | uint16 | uint32](low, high int) func(string) (T, error) {
	return func(s string) (T, error) {
		n, err := strconv.ParseUint(s, 10, 31) // without a sign
		if err != nil || int(n) < low || int(n) > high || len(s) > 1 && s[0] == '0' {
			return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, low, high)
		}
		return T(n), nil
	}
}

// parseDuration returns a parser of durations from low to high.
func parseDuration(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration; want a number with a unit of ms, s, m or h, as in 5s or 250ms", s)
		}
		if d < low || d > high {
			return 0, fmt.Errorf("%s is out of range; want %s to %s", s, brief(low), brief(high))
		}
		return d, nil
	}
}

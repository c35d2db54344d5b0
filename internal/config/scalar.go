package config

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/afxlb/afxlb/balancer"
)

// text returns the text of a scalar as it stands in the file: what it means is
// for the caller to say, not for YAML's rules on 0-3, 08 or 1e3.
func (v value) text() (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	v.problem("want a single value, not %s", kind(v.node))
	return "", false
}

// set reads a scalar into dst.
func set[T any](v value, dst *T, parse func(string) (T, error)) {
	s, ok := v.text()
	if !ok {
		return
	}
	got, err := parse(s)
	if err != nil {
		v.problem("%v%s", err, didYouMean(err))
		return
	}
	*dst = got
}

// didYouMean adds the nearest known name to the error about an unknown one.
func didYouMean(err error) string {
	var unknown *balancer.UnknownNameError
	if errors.As(err, &unknown) {
		if near := nearest(unknown.Name, unknown.Known); near != "" {
			return fmt.Sprintf(" (did you mean %q?)", near)
		}
	}
	return ""
}

// to returns the key function that reads a scalar into dst.
func to[T any](dst *T, parse func(string) (T, error)) func(value) {
	return func(v value) { set(v, dst, parse) }
}

func parseText(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("is empty; give it a value or leave the key out")
	}
	return s, nil
}

// number returns a parser of whole numbers from low to high.
func number[T int | uint16](low, high int) func(string) (T, error) {
	return func(s string) (T, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high || strconv.Itoa(n) != s {
			return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, low, high)
		}
		return T(n), nil
	}
}

// duration returns a parser of durations from low to high.
func duration(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration; want a number with a unit, as in 5s or 250ms", s)
		}
		if d < low || d > high {
			return 0, fmt.Errorf("%s is out of range; want %s to %s", s, low, high)
		}
		return d, nil
	}
}

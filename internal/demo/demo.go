// Package demo shows the balancer at work in a lab.
package demo

import (
	"context"
	"io"
)

// Options say how to run.
type Options struct {
	Out        io.Writer
	Executable string
	Driver     string
}

// Run runs the demo.
func Run(ctx context.Context, o Options) error { panic("being written") }

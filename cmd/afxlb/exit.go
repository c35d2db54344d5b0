package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/convert"
	"github.com/afxlb/afxlb/internal/doctor"
)

// The exit codes of the product's contract.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2 // wrong usage or wrong config
	exitMachine = 3 // the machine cannot do it
	exitPartly  = 4 // done, but not all of it
)

// errSaid ends a command whose failure is on the terminal already.
var errSaid = errors.New("said already")

// usageError is a command line that can't be obeyed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errPartly ends a command that did what it was asked for, but not all of it.
var errPartly = errors.New("done, but not all of it")

// exitCode says how a command ended, by what its error was marked as where it arose:
// the kernel's numbers alone do not tell a file that may not be read from a privilege
// that is missing.
func exitCode(err error) int {
	var usage usageError
	var problems config.Problems
	var refused api.ConfigError
	var machine doctor.MachineError
	var unable api.MachineError
	var converted convert.Problems
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errPartly):
		return exitPartly
	case errors.As(err, &usage), errors.As(err, &problems), errors.As(err, &refused), errors.As(err, &converted),
		errors.Is(err, convert.ErrUnknown),
		errors.Is(err, engine.ErrPlacement), errors.Is(err, bpf.ErrFull):
		return exitUsage
	case errors.As(err, &machine), errors.As(err, &unable):
		return exitMachine
	default:
		return exitFailed
	}
}

// exactArgs is cobra.ExactArgs with the exit code of a usage error.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usageError{fmt.Errorf("%s takes no arguments, got %q (see %s --help)", c.CommandPath(), args, c.CommandPath())}
		}
		return usageError{fmt.Errorf("%s wants %s, got %q (see %[1]s --help)", c.CommandPath(), strings.Join(names, " "), args)}
	}
}

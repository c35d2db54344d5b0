package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/xsk"
)

// The exit codes of the product's contract.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2 // wrong usage or wrong config
	exitMachine = 3 // the machine cannot do it
)

// errSaid ends a command whose failure is on the terminal already.
var errSaid = errors.New("said already")

// usageError is a command line that can't be obeyed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	var problems config.Problems
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &problems):
		return exitUsage
	case errors.Is(err, xsk.ErrNoInterface), errors.Is(err, xsk.ErrNoQueue), errors.Is(err, xsk.ErrNotSupported), errors.Is(err, bpf.ErrNotSupported),
		errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES),
		errors.Is(err, syscall.ENOBUFS): // the last: the limit on locked memory
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
		return usageError{fmt.Errorf("%s wants %v, got %d arguments (see %s --help)", c.CommandPath(), names, len(args), c.CommandPath())}
	}
}

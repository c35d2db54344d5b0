package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/config"
)

func newCheck(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a config file",
		Long: `check reads a config file and says what is wrong with it, a line for each error.
It touches nothing else.

Exit code 0: valid; 1: cannot be read or parsed; 2: parsed, but wrong.`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := config.Load(args[0])
			var problems config.Problems
			switch {
			case errors.As(err, &problems):
				fmt.Fprintln(e.stderr, problems.Error())
				return fmt.Errorf("%w: %w", errSaid, problems)
			case err != nil:
				return err
			}
			backends := 0
			for _, s := range cfg.Spec.Services {
				backends += len(s.Backends)
			}
			fmt.Fprintf(e.stdout, "%s: valid, %d services, %d backends\n", args[0], len(cfg.Spec.Services), backends)
			return nil
		},
	}
}

package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/demo"
)

func newDemo(e *env) *cobra.Command {
	o := demo.Options{Out: e.stdout}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Balance real traffic in a lab of network namespaces",
		Long: `demo builds a network of namespaces on this machine (a client, the balancer, HTTP
backends), runs the real balancer in it, shows how each algorithm spreads
connections, kills a backend and brings it back, and cleans up.

It touches nothing outside of its namespaces, needs root, and exits 0 only if all
went as it should.`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.Executable = exe
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Driver, "driver", "native", "socket set-up: native or asavie")
	return c
}

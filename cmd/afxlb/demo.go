package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/demo"
)

func newDemo(e *env) *cobra.Command {
	o, driver := demo.Options{Out: e.stdout}, config.DriverNative
	c := &cobra.Command{
		Use:   "demo",
		Short: "Balance real traffic in a lab of network namespaces",
		Long: `demo builds a network of namespaces on this machine (clients, the balancer, HTTP
backends), runs the real balancer in it, shows how each algorithm spreads
connections, kills a backend and brings it back, accounts for every packet, and
cleans up. It takes some ten seconds.

It touches nothing outside of its namespaces, needs root, and exits 0 only if
each of its expectations held.`,
		Example: `  afxlb demo`,
		Args:    exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.Executable, o.Driver = exe, string(driver)
			// Nobody looks any more: clean up rather than die at the next write.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGPIPE, syscall.SIGHUP)
			defer stop()
			return demo.Run(ctx, o)
		},
	}
	c.Flags().Var(&driver, "driver", "socket set-up: native or asavie")
	c.Flags().BoolVar(&o.Verbose, "verbose", false, "show the balancer's config, and its log at the end")
	return c
}

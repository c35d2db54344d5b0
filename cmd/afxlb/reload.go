package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newReload(e *env) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running balancer read its config file again",
		Long: `reload has a running balancer read its config file again, as SIGHUP does, and says
what came of it. A file that is wrong changes nothing.

Exit code 0: all of the file is in force; 1: the file can't be read or parsed, the kernel
does not take a part of it yet, or the balancer did not answer; 2: nothing has changed,
since the file is wrong; 4: in force but for the keys that are named, which need a
restart.`,
		Example: `  afxlb reload`,
		Args:    exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := api.NewClient(socket).Reload(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "reloaded, generation %d\n", done.Generation)
			if len(done.NeedsRestart) > 0 {
				return fmt.Errorf("%w: a restart is needed for %s", errPartly, strings.Join(done.NeedsRestart, ", "))
			}
			return nil
		},
	}
	addSocketFlag(c, &socket)
	return c
}

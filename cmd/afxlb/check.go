package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/daemon"
	"github.com/afxlb/afxlb/internal/doctor"
)

func newCheck(e *env) *cobra.Command {
	var here, running, asJSON bool
	var socket string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a config file",
		Long: `check reads a config file and says what is wrong with it, a line for each error.
It makes the same plan as a start and touches nothing else.

With --here it also asks this machine, in the network namespace that it runs in,
whether it could serve the file: interface and queues, the MTU, another XDP program that
is there already, and whether there is a way to each backend by the served interface. It
warns of the machine's own servers whose ports a service has on one of the machine's own
addresses, and of what is only slow or uncertain, such as RX queues that have no TX queue
or no CPU of their own, or a missing /dev/net/tun.

With --against-running it also asks the balancer that runs what a reload would change if
this were its file, and prints that as reload --dry-run does; with --json, that alone.

Exit code 0: valid, and nothing to change; 1: cannot be read or parsed, or nobody answers;
2: parsed, but wrong; 3: valid, but not to be served from here; 4: valid, and there are
changes.`,
		Example: `  afxlb check /etc/afxlb/afxlb.yaml
  afxlb check --here /etc/afxlb/afxlb.yaml
  afxlb check --against-running /etc/afxlb/afxlb.yaml`,
		Args: exactArgs("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON && !running {
				return usageError{errors.New("--json is for --against-running")}
			}
			text, err := config.Read(args[0])
			if err != nil {
				return err
			}
			cfg, err := config.Parse(args[0], text)
			var problems config.Problems
			switch {
			case errors.As(err, &problems):
				fmt.Fprintln(e.stderr, problems.Error())
				return fmt.Errorf("%w: %w", errSaid, problems)
			case err != nil:
				return err
			}
			if err := control.Check(&cfg.Spec); err != nil {
				return fmt.Errorf("%s: services: %w", args[0], err)
			}
			backends := 0
			for _, s := range cfg.Spec.Services {
				backends += len(s.Backends)
			}
			if !asJSON {
				fmt.Fprintf(e.stdout, "%s: valid, %d services, %d backends\n", args[0], len(cfg.Spec.Services), backends)
			}
			if here {
				if err := checkHere(e.stderr, args[0], cfg); err != nil {
					return err
				}
			}
			if running {
				return preview(c, e, api.NewClient(socket), &api.ConfigText{Name: args[0], Text: text}, asJSON)
			}
			return nil
		},
	}
	addSocketFlag(c, &socket)
	c.Flags().BoolVar(&running, "against-running", false, "also say what a reload of the running balancer would change")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON what a reload would change")
	c.Flags().BoolVar(&here, "here", false, "also ask this machine whether it could serve the file")
	return c
}

// checkHere prints what stands against serving the config on this machine.
func checkHere(w io.Writer, path string, cfg *config.Config) error {
	if len(cfg.Interfaces) == 0 {
		return usageError{fmt.Errorf("%s: no interface: to ask this machine, the file must name one", path)}
	}
	asked := daemon.EngineConfig(cfg)
	findings, warnings, err := doctor.Here(cfg, &asked)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, m := range warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", path, m)
	}
	if len(findings) == 0 {
		return nil
	}
	for _, f := range findings {
		fmt.Fprintf(w, "%s: %s\n", path, f)
	}
	return doctor.MachineError{Err: errSaid}
}

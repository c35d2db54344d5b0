package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/daemon"
)

// defaultConfig is the config file, if no other is named.
const defaultConfig = "/etc/afxlb/afxlb.yaml"

// flags are the daemon's; those that were given override the file.
type flags struct {
	config, socket string
	file           config.Config // only what has a flag
}

func newDaemon(e *env) *cobra.Command {
	f := flags{file: *config.Default()}
	c := &cobra.Command{
		Use:   "afxlb",
		Short: "Layer-4 load balancer on AF_XDP",
		Long: `afxlb balances TCP and UDP services over backends. It takes the services'
packets off the NIC's queues by AF_XDP, one pinned worker a queue, and leaves
everything else to the kernel.

Without a verb it runs in the foreground until SIGTERM or SIGINT; SIGHUP
reloads the config's services, neighbours, idle timeouts and log level. Flags
override the file.

Exit codes, of all verbs: 0 done; 1 failed; 2 wrong usage or wrong config; 3 the machine
can't do it, and what is missing is named; 4 done, but not all of it.`,
		Example: `  afxlb --config /etc/afxlb/afxlb.yaml --interface eth0 --queues 0-3
  afxlb check /etc/afxlb/afxlb.yaml`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error { return runDaemon(c, e, &f) },
	}
	c.Flags().StringVar(&f.config, "config", defaultConfig, "config file")
	c.Flags().Var(&f.file.Interfaces, "interface", "network interfaces to serve, as in eth0 or eth0,eth1")
	c.Flags().Var(&f.file.Queues, "queues", "RX queues to serve: 0-3, or 0,2,5-7, or all")
	c.Flags().Var(&f.file.CPUs, "cpus", "CPUs of the workers, as in 2-5: that of the i-th queue runs on the i-th")
	c.Flags().Var(&f.file.Driver, "driver", "socket set-up: native or asavie")
	c.Flags().Var(&f.file.XDPMode, "xdp-mode", "auto, zero-copy, copy or generic")
	c.Flags().Var(&f.file.Poll, "poll", "adaptive sleeps when idle, busy never does")
	c.Flags().StringVar(&f.file.Listen, "listen", f.file.Listen, "address that the web page and metrics are served on")
	c.Flags().StringVar(&f.file.StateFile, "state-file", f.file.StateFile, "where changes at run time are kept over a restart, or none")
	addSocketFlag(c, &f.socket)
	return c
}

// load reads the config file and lays the given flags over it.
func (f *flags) load(c *cobra.Command) (*config.Config, error) {
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, configError(err)
	}
	return f.override(c, f.config, cfg)
}

// parse does so with a text, for which a name stands in messages.
func (f *flags) parse(c *cobra.Command, name string, text []byte) (*config.Config, error) {
	cfg, err := config.Parse(name, text)
	if err != nil {
		return nil, err
	}
	return f.override(c, name, cfg)
}

// override lays the given flags over a config.
func (f *flags) override(c *cobra.Command, name string, cfg *config.Config) (*config.Config, error) {
	for name, override := range map[string]func(){
		"interface": func() { cfg.Interfaces = f.file.Interfaces },
		"queues":    func() { cfg.Queues = f.file.Queues },
		"cpus":      func() { cfg.CPUs = f.file.CPUs },
		"driver":    func() { cfg.Driver = f.file.Driver },
		"xdp-mode":  func() { cfg.XDPMode = f.file.XDPMode },
		"poll":      func() { cfg.Poll = f.file.Poll },
		"listen":    func() { cfg.Listen = f.file.Listen },

		"state-file": func() { cfg.StateFile = f.file.StateFile },
	} {
		if c.Flags().Changed(name) {
			override()
		}
	}
	if _, err := config.ParseListen(cfg.Listen); err != nil {
		return nil, usageError{fmt.Errorf("--listen: %w", err)}
	}
	if _, err := config.ParseStateFile(cfg.StateFile); err != nil {
		return nil, usageError{fmt.Errorf("--state-file: %w", err)}
	}
	if len(cfg.Interfaces) == 0 {
		return nil, usageError{fmt.Errorf("no interface: give --interface, or interface in %s", name)}
	}
	return cfg, nil
}

// configError makes a file that can't be read or parsed a usage error of the
// daemon; check tells the two apart.
func configError(err error) error {
	var problems config.Problems
	if errors.As(err, &problems) {
		return err
	}
	return usageError{err}
}

func runDaemon(c *cobra.Command, e *env, f *flags) error {
	path, err := filepath.Abs(f.config) // who reads it in the status may be in another folder
	if err != nil {
		return fmt.Errorf("find the config file %s: %w", f.config, err)
	}
	return daemon.Run(c.Context(), daemon.Options{
		Load:  func() (*config.Config, error) { return f.load(c) },
		Parse: func(name string, text []byte) (*config.Config, error) { return f.parse(c, name, text) },
		Path:  path, Socket: f.socket, Version: version, Hangup: e.hangup, Log: e.stderr,
	})
}

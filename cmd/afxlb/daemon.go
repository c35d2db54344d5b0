package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/xsk"
)

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
reloads the config's services. Flags override the file.`,
		Example: `  afxlb --config /etc/afxlb/afxlb.yaml --interface eth0 --queues 0-3
  afxlb check /etc/afxlb/afxlb.yaml`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error { return runDaemon(c, e, &f) },
	}
	c.Flags().StringVar(&f.config, "config", "/etc/afxlb/afxlb.yaml", "config file")
	c.Flags().StringVar(&f.file.Interface, "interface", "", "network interface to serve")
	c.Flags().Var(&f.file.Queues, "queues", "RX queues to serve: 0-3, or 0,2,5-7, or all")
	c.Flags().Var(&f.file.CPUs, "cpus", "CPUs of the workers: worker i runs on the i-th, as in 2-5")
	c.Flags().Var(&f.file.Driver, "driver", "socket set-up: native or asavie")
	c.Flags().Var(&f.file.XDPMode, "xdp-mode", "auto, zero-copy, copy or generic")
	c.Flags().Var(&f.file.Poll, "poll", "adaptive sleeps when idle, busy never does")
	c.Flags().StringVar(&f.file.Listen, "listen", f.file.Listen, "address of metrics and web page (nothing is served there yet)")
	addSocketFlag(c, &f.socket)
	return c
}

// load reads the config file and lays the given flags over it.
func (f *flags) load(c *cobra.Command) (*config.Config, error) {
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, configError(err)
	}
	for name, override := range map[string]func(){
		"interface": func() { cfg.Interface = f.file.Interface },
		"queues":    func() { cfg.Queues = f.file.Queues },
		"cpus":      func() { cfg.CPUs = f.file.CPUs },
		"driver":    func() { cfg.Driver = f.file.Driver },
		"xdp-mode":  func() { cfg.XDPMode = f.file.XDPMode },
		"poll":      func() { cfg.Poll = f.file.Poll },
		"listen":    func() { cfg.Listen = f.file.Listen },
	} {
		if c.Flags().Changed(name) {
			override()
		}
	}
	if _, err := config.ParseListen(cfg.Listen); err != nil {
		return nil, usageError{fmt.Errorf("--listen: %w", err)}
	}
	if cfg.Interface == "" {
		return nil, usageError{fmt.Errorf("no interface: give --interface, or interface in %s", f.config)}
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
	ctx := c.Context()
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	log := newLog(e, cfg.Log)
	defer func() { _ = log.Sync() }() // stderr may not support it

	engineConfig, err := newEngineConfig(cfg)
	if err != nil {
		return err
	}
	l, err := api.Listen(f.socket)
	if err != nil {
		return err
	}
	ctl, err := control.New(control.Options{Engine: engineConfig, Spec: cfg.Spec, Version: version, Config: f.config, Log: log})
	if err != nil {
		l.Close()
		return err
	}
	log.Info("starting", zap.String("version", version), zap.String("interface", cfg.Interface),
		zap.Ints("queues", engineConfig.Queues), zap.Int("services", len(cfg.Spec.Services)), zap.Int("pid", os.Getpid()))

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, l, ctl) }()
	go reloadOn(ctx, e, c, f, ctl, log)
	err = ctl.Run(ctx)
	cancel()
	if serveErr := <-served; err == nil {
		err = serveErr
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// reloadOn reloads the services at each SIGHUP. A file that is wrong changes
// nothing. What the sockets and workers were made from can't change in flight.
func reloadOn(ctx context.Context, e *env, c *cobra.Command, f *flags, ctl *control.Controller, log *zap.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.hangup:
		}
		cfg, err := f.load(c)
		if err != nil {
			ctl.ReloadFailed(err)
			log.Error("reload refused; everything stays as it was", zap.Error(err))
			continue
		}
		if err := ctl.Reload(cfg.Spec); err != nil {
			log.Error("reload refused; everything stays as it was", zap.Error(err))
		}
	}
}

func newEngineConfig(cfg *config.Config) (engine.Config, error) {
	n, err := engine.RxQueues(cfg.Interface)
	if err != nil {
		return engine.Config{}, err
	}
	queues, err := cfg.Queues.Resolve(n)
	if err != nil {
		return engine.Config{}, fmt.Errorf("%s: %w: %w", cfg.Interface, xsk.ErrNoQueue, err)
	}
	t := cfg.Conntrack.Timeouts
	return engine.Config{
		Interface: cfg.Interface, Queues: queues, CPUs: cfg.CPUs,
		Driver: xsk.Driver(cfg.Driver), Mode: xsk.Mode(cfg.XDPMode), Busy: cfg.Poll == config.PollBusy,
		MaxFlows: cfg.Conntrack.MaxFlows,
		Timeouts: conntrack.Timeouts{
			conntrack.TCPSyn: t.TCPSyn, conntrack.TCPEstablished: t.TCPEstablished, conntrack.TCPClosing: t.TCPClosing,
			conntrack.UDPNew: t.UDPNew, conntrack.UDPEstablished: t.UDPEstablished, conntrack.ICMP: t.ICMP,
		},
	}, nil
}

func newLog(e *env, l config.Log) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	newEncoder := zapcore.NewJSONEncoder
	if l.Format == "console" {
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		newEncoder = zapcore.NewConsoleEncoder
	}
	level, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		level = zapcore.InfoLevel // config has checked it
	}
	return zap.New(zapcore.NewCore(newEncoder(enc), zapcore.Lock(zapcore.AddSync(e.stderr)), level))
}

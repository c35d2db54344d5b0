package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/daemon"
	"github.com/afxlb/afxlb/internal/doctor"
)

func newDoctor(e *env) *cobra.Command {
	var socket, path string
	var interfaces config.InterfaceList
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at this machine for what is wrong, and say what to do",
		Long: `doctor looks at this machine, in the network namespace that it runs in, for what keeps the
balancer from working, or from working well: privileges and limits, the interface's driver and
XDP mode, zero-copy, queues, interrupts, NUMA nodes and offloads, MTUs, routes and
neighbours, the services' addresses, rules of nftables that have no effect, and what a
balancer that was killed has left. It changes nothing.

If a balancer answers, it asks it for what it alone knows, and looks at its config; else at the
file.

Of each finding it says what is wrong, why that matters and what to do; with -v also what else was
looked at. Exit code 0: all is well; 1: there are findings; 3: something can't work as things are.`,
		Example: `  afxlb doctor
  afxlb doctor --config /etc/afxlb/afxlb.yaml --interface eth0 -v
  afxlb doctor --json`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := doctorOptions(c, socket, path, interfaces)
			if err != nil {
				return err
			}
			facts, err := doctor.Look(o)
			if err != nil {
				return err
			}
			report := facts.Examine()
			if asJSON {
				b, err := json.Marshal(report)
				if err == nil {
					err = printJSON(e.stdout, b)
				}
				if err != nil {
					return err
				}
			} else {
				printReport(e.stdout, report, all)
			}
			switch report.State {
			case string(doctor.Cannot):
				return doctor.MachineError{Err: errSaid}
			case string(doctor.Warning):
				return errSaid
			}
			return nil
		},
	}
	addSocketFlag(c, &socket)
	c.Flags().StringVar(&path, "config", defaultConfig, "config file; left out, it is that of the balancer that answers")
	c.Flags().Var(&interfaces, "interface", "network interfaces, in place of the file's")
	c.Flags().BoolVarP(&all, "verbose", "v", false, "also say what was looked at and is well")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with all that was looked at")
	return c
}

// doctorOptions says what to look at: what runs, and the file.
func doctorOptions(c *cobra.Command, socket, path string, interfaces config.InterfaceList) (*doctor.Options, error) {
	o := &doctor.Options{Socket: socket}
	client := api.NewClient(socket)
	s, err := client.Status(c.Context())
	switch {
	case err == nil:
		if o.Running = &s; !c.Flags().Changed("config") {
			path = s.Config
		}
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, err // one may be there, whose word counts
	}
	text, err := config.Read(path)
	switch {
	case err == nil:
		if o.Config, err = config.Parse(path, text); err != nil {
			return nil, configError(err)
		}
	case errors.Is(err, fs.ErrNotExist) && !c.Flags().Changed("config") && o.Running == nil:
		o.Config = config.Default() // a machine on which there is no service yet
	default:
		return nil, usageError{err}
	}
	if o.Running != nil {
		if o.Counters, err = client.Counters(c.Context()); err != nil {
			return nil, err
		}
		o.Pending, o.Unasked = changesPending(c, client, &api.ConfigText{Name: path, Text: text})
	}
	if len(interfaces) > 0 {
		o.Config.Interfaces = interfaces
	}
	o.Engine = daemon.EngineConfig(o.Config)
	return o, nil
}

// changesPending names what the file would change of the balancer that runs.
func changesPending(c *cobra.Command, client *api.Client, text *api.ConfigText) (list []string, err error) {
	r, err := client.Preview(c.Context(), text)
	if err != nil {
		return nil, err
	}
	for _, s := range r.Services {
		list = append(list, "service "+s.Service+" "+s.Change)
	}
	for _, s := range r.Settings {
		if !s.NeedsRestart { // a flag may be why, and the status tells of the others
			list = append(list, s.Key)
		}
	}
	return list, nil
}

// printReport prints findings by group, each in three lines, and if all is to be shown what was
// looked at.
func printReport(w io.Writer, r *doctor.Report, all bool) {
	wide := 0
	for i := range r.Findings {
		wide = max(wide, len(r.Findings[i].Check))
	}
	for i := range r.Seen {
		wide = max(wide, len(r.Seen[i].Check))
	}
	for _, group := range doctor.Groups {
		head := group + "\n"
		line := func(state, name, text string) {
			if text == "" {
				return
			}
			fmt.Fprintf(w, "%s  %-*s  %-*s  %s\n", head, len(doctor.Warning), state, wide, name, text)
			head = ""
		}
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Group != group {
				continue
			}
			what := f.What
			if f.Interface != "" {
				what = f.Interface + ": " + what
			}
			line(string(f.Severity), f.Check, what)
			line("", "  why", f.Why)
			line("", "  do", f.Do)
		}
		for i := range r.Seen {
			if s := &r.Seen[i]; all && s.Group == group {
				line("ok", s.Check, s.Text)
			}
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, "all is well: %d things were looked at\n", len(r.Seen))
	}
}

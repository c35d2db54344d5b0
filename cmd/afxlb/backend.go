package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newBackend(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "backend",
		Short: "Drain, disable or enable a backend of a running balancer, or give it another weight",
		Long: `backend changes one backend of a running balancer. A backend is named as in the file, or
by its address:port, or by its address if no other one of the service has that.

A change holds until it is taken back, or until a reload finds that the file says something
else of that backend: then the file is right. It is kept over a restart by the state file
(state-file in the config), unless it is --volatile.`,
		Example: `  afxlb backend drain web a --wait
  afxlb backend enable web a`,
		RunE: func(c *cobra.Command, args []string) error {
			return usageError{fmt.Errorf("%s wants one of drain, disable, enable and weight, got %q (see %[1]s --help)", c.CommandPath(), args)}
		},
	}
	c.AddCommand(newBackendDrain(e), newBackendDisable(e), newBackendEnable(e), newBackendWeight(e))
	return c
}

func newBackendDisable(e *env) *cobra.Command {
	return newOrder(e, api.ActionDisable, &cobra.Command{
		Use:   "disable SERVICE BACKEND",
		Short: "Take a backend out, as if it were not there",
		Long: `disable takes a backend out, as HAProxy's maint does: it gets no new flows, its health is
not checked, and its flows are treated as on-down says: moved (reassign), reset, or kept.
With reassign, they stay where they are while there is no other backend.`,
		Example: `  afxlb backend disable web a`,
	})
}

func newBackendEnable(e *env) *cobra.Command {
	return newOrder(e, api.ActionEnable, &cobra.Command{
		Use:   "enable SERVICE BACKEND",
		Short: "Put a backend back in, after drain or disable",
		Long: `enable ends drain and disable. A weight that the backend was given stays; weight without a
number ends that. One that was disabled is warming until its health check has an answer.`,
		Example: `  afxlb backend enable web a
  afxlb backend enable web 10.0.0.11:8080`,
	})
}

func newBackendWeight(e *env) *cobra.Command {
	c := newOrder(e, api.ActionWeight, &cobra.Command{
		Use:   "weight SERVICE BACKEND [N]",
		Short: "Give a backend another weight, or the file's again",
		Long: `weight gives a backend another weight, from 0 to 65535, and without one that of the file
again. With 0 it drains.`,
		Example: `  afxlb backend weight web a 10
  afxlb backend weight web a`,
	})
	one := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) != 3 {
			return one(c, args)
		}
		if _, err := strconv.ParseUint(args[2], 10, 16); err != nil {
			return usageError{fmt.Errorf("weight %q: want a number from 0 to 65535", args[2])}
		}
		return nil
	}
	return c
}

// newOrder makes a command of c that changes a backend by an action.
func newOrder(e *env, action string, c *cobra.Command) *cobra.Command {
	o := &order{action: action}
	o.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		_, err := o.give(c, e, args)
		return err
	}
	return c
}

// order is a change of a backend from the command line.
type order struct {
	action, socket   string
	volatile, asJSON bool
}

func (o *order) flags(c *cobra.Command) {
	c.Args = exactArgs("SERVICE", "BACKEND")
	addSocketFlag(c, &o.socket)
	c.Flags().BoolVar(&o.volatile, "volatile", false, "do not keep the change over a restart")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
}

// give has the balancer change the backend, and prints what came of it.
func (o *order) give(c *cobra.Command, e *env, args []string) (done api.BackendChanged, err error) {
	in := api.BackendOrder{Service: args[0], Backend: args[1], Action: o.action, Volatile: o.volatile}
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return done, err // it was checked
		}
		in.Weight = &n
	}
	var answer bytes.Buffer
	if _, err = api.NewClient(o.socket).Raw(&answer).Change(c.Context(), in); err != nil {
		return done, err
	}
	if err = json.Unmarshal(answer.Bytes(), &done); err != nil {
		return done, fmt.Errorf("read the answer: %w", err)
	}
	if o.asJSON {
		return done, printJSON(e.stdout, answer.Bytes())
	}
	printChanged(e.stdout, &done)
	for _, text := range done.Warnings {
		fmt.Fprintf(e.stderr, "afxlb: warning: %s\n", text)
	}
	return done, nil
}

// printChanged prints a change of a backend.
func printChanged(w io.Writer, done *api.BackendChanged) {
	fmt.Fprintf(w, "%s/%s (%s): %s → %s, generation %d\n", done.Service, done.Backend, done.Address, settingText(&done.Old), settingText(&done.New), done.Generation)
	if done.Moved > 0 {
		fmt.Fprintf(w, "%.2f%% of the hash slots move: %d of %d\n", 100*float64(done.Moved)/float64(done.Slots), done.Moved, done.Slots)
	}
	if !done.Kept {
		fmt.Fprintln(w, "it is not kept over a restart")
	}
}

// settingText says how a backend takes part, and what operators have changed of that if it is
// more than what shows.
func settingText(s *api.BackendSetting) string {
	text := fmt.Sprintf("%s, weight %d", s.State, s.Weight)
	switch s.Override {
	case "":
		return text
	case s.State, fmt.Sprintf("weight %d", s.Weight):
		return text + " (override)"
	}
	return text + " (override: " + s.Override + ")"
}

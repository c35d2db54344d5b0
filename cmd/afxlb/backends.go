package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newBackends(e *env) *cobra.Command {
	var service string
	var verbose bool
	c := reader(e, &cobra.Command{Use: "backends", Short: "List the backends of a running balancer", Example: "  afxlb backends --service web\n  afxlb backends -v"},
		func(c *cobra.Command, a *api.Client) ([]api.Backend, error) { return a.Backends(c.Context(), service) },
		func(w io.Writer, list []api.Backend) {
			if verbose {
				printChecks(w, list, time.Now())
				return
			}
			table(w, "SERVICE BACKEND ADDRESS PORT WEIGHT STATE LIVE FLOWS PKTS-IN PKTS-OUT BYTES-IN BYTES-OUT MAC EGRESS CHECK", func(row func(...any)) {
				for _, b := range list {
					_, weighted := overrideMarks(&b)
					row(b.Service, b.Name, b.Address, b.Port, fmt.Sprint(b.Weight, weighted), shownState(&b), b.Live, b.Flows,
						amount(b.PacketsIn), amount(b.PacketsOut), amount(b.BytesIn), amount(b.BytesOut), b.MAC, b.Egress, b.Check)
				}
			})
		})
	c.Flags().StringVar(&service, "service", "", "only this service's")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the health checks: each with its latest answer and when the next one is")
	return c
}

// overrideMarks are behind a backend's state and weight where operators have changed these.
func overrideMarks(b *api.Backend) (state, weight string) {
	switch set, _, _ := strings.Cut(b.Override, ", "); {
	case set == "":
	case strings.HasPrefix(set, "weight "):
		weight = " (override)"
	case set == b.State:
		state = " (override)"
	default: // it is down, or can't be reached, all the same
		state = " (override: " + set + ")"
	}
	return state, weight
}

// shownState returns a backend's state with the reason, and what operators have changed of it.
func shownState(b *api.Backend) string {
	state := b.State
	if b.Reason != "" {
		state += " (" + b.Reason + ")"
	}
	changed, _ := overrideMarks(b)
	return state + changed
}

// printChecks lists each check of each backend. A backend without one has a row all the same.
func printChecks(w io.Writer, list []api.Backend, now time.Time) {
	table(w, "SERVICE BACKEND STATE SUSPICIONS TYPE ASKED SOURCE RESULT TOOK AGO NEXT ERROR", func(row func(...any)) {
		for _, b := range list {
			if len(b.Checks) == 0 {
				row(b.Service, b.Name, shownState(&b), b.Suspicions, "none", "", "", "", "", "", "", "")
			}
			for _, k := range b.Checks {
				var took, ago string
				if k.At != nil {
					took, ago = k.Took.Round(10*time.Microsecond).String(), now.Sub(*k.At).Round(100*time.Millisecond).String()
				}
				next := "now"
				if k.Next != nil && k.Next.After(now) {
					next = k.Next.Sub(now).Round(100 * time.Millisecond).String()
				}
				row(b.Service, b.Name, shownState(&b), b.Suspicions, k.Type, k.Address, k.Source, k.Result, took, ago, next, k.Error)
			}
		}
	})
}

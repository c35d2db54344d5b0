package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newBackends(e *env) *cobra.Command {
	var service string
	c := reader(e, &cobra.Command{Use: "backends", Short: "List the backends of a running balancer", Example: `  afxlb backends --service web`},
		func(c *cobra.Command, a *api.Client) ([]api.Backend, error) { return a.Backends(c.Context(), service) },
		func(w io.Writer, list []api.Backend) {
			table(w, "SERVICE BACKEND ADDRESS PORT WEIGHT STATE LIVE FLOWS PKTS-IN PKTS-OUT BYTES-IN BYTES-OUT MAC EGRESS CHECK", func(row func(...any)) {
				for _, b := range list {
					state := b.State
					if b.Reason != "" {
						state += " (" + b.Reason + ")"
					}
					changed, weighted := overrideMarks(&b)
					row(b.Service, b.Name, b.Address, b.Port, fmt.Sprint(b.Weight, weighted), state+changed, b.Live, b.Flows,
						amount(b.PacketsIn), amount(b.PacketsOut), amount(b.BytesIn), amount(b.BytesOut), b.MAC, b.Egress, b.Check)
				}
			})
		})
	c.Flags().StringVar(&service, "service", "", "only this service's")
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

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
					weight := fmt.Sprint(b.Weight)
					if override, weighted := overridden(&b); override != "" {
						state += " (" + override + ")"
					} else if weighted {
						weight += " (override)"
					}
					row(b.Service, b.Name, b.Address, b.Port, weight, state, b.Live, b.Flows,
						amount(b.PacketsIn), amount(b.PacketsOut), amount(b.BytesIn), amount(b.BytesOut), b.MAC, b.Egress, b.Check)
				}
			})
		})
	c.Flags().StringVar(&service, "service", "", "only this service's")
	return c
}

// overridden says what operators have changed of a backend's state, as the table marks it,
// and whether they have given it a weight.
func overridden(b *api.Backend) (mark string, weighted bool) {
	state, weight, both := strings.Cut(b.Override, ", ")
	switch {
	case strings.HasPrefix(state, "weight "):
		return "", true
	case state == "":
		return "", false
	case state != b.State: // it is down, or can't be reached, all the same
		mark = "override: " + state
	default:
		mark = "override"
	}
	return mark, both && weight != ""
}

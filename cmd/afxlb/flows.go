package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newFlows(e *env) *cobra.Command {
	var f api.FlowFilter
	c := reader(e, &cobra.Command{Use: "flows", Short: "List the flows of a running balancer", Example: `  afxlb flows --service web --limit 20`},
		func(c *cobra.Command, a *api.Client) ([]api.Flow, error) {
			if f.Limit < 1 {
				return nil, usageError{fmt.Errorf("--limit %d: want a number from 1 up", f.Limit)}
			}
			if _, err := netip.ParseAddr(f.Client); f.Client != "" && err != nil {
				return nil, usageError{fmt.Errorf("--client %q: want an IP address", f.Client)}
			}
			return a.Flows(c.Context(), f)
		},
		func(w io.Writer, list []api.Flow) {
			table(w, "PROTO CLIENT VIP SERVICE BACKEND SOURCE TARGET STATE AGE IDLE PKTS-IN PKTS-OUT BYTES-IN BYTES-OUT", func(row func(...any)) {
				for _, f := range list {
					row(f.Protocol, f.Client, f.VIP, f.Service, f.Backend, orDash(f.Source), f.Target, f.State,
						f.Age.Round(100*time.Millisecond), f.Idle.Round(100*time.Millisecond),
						amount(f.PacketsIn), amount(f.PacketsOut), amount(f.BytesIn), amount(f.BytesOut))
				}
			})
		})
	c.Flags().StringVar(&f.Service, "service", "", "only this service's")
	c.Flags().StringVar(&f.Backend, "backend", "", "only this backend's")
	c.Flags().StringVar(&f.Client, "client", "", "only this client address's")
	c.Flags().IntVar(&f.Limit, "limit", 100, "at most so many")
	return c
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newServices(e *env) *cobra.Command {
	return reader(e, &cobra.Command{Use: "services", Short: "List the services of a running balancer", Example: `  afxlb services`},
		func(c *cobra.Command, a *api.Client) ([]api.Service, error) { return a.Services(c.Context()) },
		func(w io.Writer, list []api.Service) {
			table(w, "SERVICE PROTO ADDRESS PORT MODE ALGORITHM UP LIVE FLOWS PKTS-IN PKTS-OUT BYTES-IN BYTES-OUT", func(row func(...any)) {
				for _, s := range list {
					up := fmt.Sprintf("%d/%d", s.Backends.Up, s.Backends.Total)
					if short := s.Short(); short != "" {
						up += " (" + short + ")"
					}
					row(s.Name, s.Protocol, s.Address, s.Port, s.Mode, s.Algorithm, up,
						s.Live, s.Flows, amount(s.PacketsIn), amount(s.PacketsOut), amount(s.BytesIn), amount(s.BytesOut))
				}
			})
		})
}

package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newCounters(e *env) *cobra.Command {
	return reader(e, &cobra.Command{Use: "counters", Short: "Show what became of every packet, by reason", Example: `  afxlb counters`},
		func(c *cobra.Command, a *api.Client) ([]api.Counter, error) { return a.Counters(c.Context()) },
		func(w io.Writer, list []api.Counter) {
			table(w, "GROUP COUNTER VALUE MEANING", func(row func(...any)) {
				for _, c := range list {
					row(c.Group, c.Name, c.Value, c.Help)
				}
			})
		})
}

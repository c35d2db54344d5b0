package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

// completeTime is how long somebody who has pressed the tab key waits for a balancer.
const completeTime = time.Second

// completeNames has shells complete the names of services and backends, by what a running
// balancer has: wherever a verb takes SERVICE BACKEND, or a flag --service.
func completeNames(c *cobra.Command) {
	if strings.Contains(c.Use, " SERVICE BACKEND") {
		c.ValidArgsFunction = completeBackend
	}
	if c.Flags().Lookup("service") != nil {
		// The error would be that there is no such flag, or two functions for it.
		_ = c.RegisterFlagCompletionFunc("service", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return services(c), cobra.ShellCompDirectiveNoFileComp
		})
	}
	for _, sub := range c.Commands() {
		completeNames(sub)
	}
}

// completeBackend completes SERVICE BACKEND. What can't be known is no candidate.
func completeBackend(c *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		names = services(c)
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), completeTime)
		defer cancel()
		list, _ := running(c).Backends(ctx, args[0])
		for i := range list {
			names = append(names, cobra.CompletionWithDesc(list[i].Name, list[i].State))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// services returns the names of the services, each with its address.
func services(c *cobra.Command) (names []string) {
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	list, _ := running(c).Services(ctx)
	for i := range list {
		names = append(names, cobra.CompletionWithDesc(list[i].Name, list[i].Address))
	}
	return names
}

// running returns a client of the balancer that the command line is for.
func running(c *cobra.Command) *api.Client {
	return api.NewClient(c.Flag("socket").Value.String())
}

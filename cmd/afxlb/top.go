package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/top"
)

// minInterval is the shortest one between two samples that top takes: a balancer has other
// things to do.
const minInterval = 100 * time.Millisecond

func newTop(e *env) *cobra.Command {
	var socket, view, service string
	var interval time.Duration
	var once, write bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch a running balancer on the whole screen",
		Long: `top shows services and their backends, workers, interfaces, what is lost and why, and what
happens, with rates of the last interval. The key ? lists the others. It only reads, unless
--write lets d, e and w drain, enable and weigh a backend, each after a question.

With --once, or where there is no terminal, it prints one frame with all rows and columns,
which takes one interval, and ends. NO_COLOR is honoured, and so is a locale without UTF-8.`,
		Example: `  afxlb top
  afxlb top --write --view backends --service web
  afxlb top --once --view backends --service web`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			o := top.Options{Interval: interval, Service: service, Plain: os.Getenv("NO_COLOR") != "", ASCII: isASCII(os.Getenv)}
			var err error
			switch o.View, err = top.ParseView(view); {
			case err != nil:
				return usageError{fmt.Errorf("--%w", err)}
			case interval < minInterval:
				return usageError{fmt.Errorf("--interval %v: want %v at least", interval, minInterval)}
			case view == "backends" && service == "":
				return usageError{fmt.Errorf("--view backends: of which service? add --service")}
			case view != "backends" && service != "":
				return usageError{fmt.Errorf("--service %s: goes with --view backends", service)}
			}
			a := api.NewClient(socket)
			if write {
				o.Order = orderBy(a)
			}
			if once || !isScreen(e.stdin) || !isScreen(e.stdout) {
				return top.Once(c.Context(), e.stdout, a, o)
			}
			in, out := e.stdin.(*os.File), e.stdout.(*os.File)
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			go func() { // the terminal may go away
				select {
				case <-e.hangup:
					cancel()
				case <-ctx.Done():
				}
			}()
			return top.Run(ctx, in, out, a, o)
		},
	}
	addSocketFlag(c, &socket)
	c.Flags().DurationVar(&interval, "interval", time.Second, "between two samples")
	c.Flags().StringVar(&view, "view", top.Views[0], "begin with: "+strings.Join(top.Views, ", "))
	c.Flags().StringVar(&service, "service", "", "of --view backends: whose")
	c.Flags().BoolVar(&write, "write", false, "let keys change backends")
	c.Flags().BoolVar(&once, "once", false, "print one frame and end")
	return c
}

// orderBy returns what has a balancer change a backend, and says what came of it as the verb
// backend does.
func orderBy(a *api.Client) func(context.Context, top.Order) (string, error) {
	return func(ctx context.Context, o top.Order) (string, error) {
		order := api.BackendOrder{Service: o.Service, Backend: o.Backend, Action: o.Action}
		if o.Action == api.ActionWeight {
			order.Weight = &o.Weight
		}
		done, err := a.Change(ctx, order)
		if err != nil {
			return "", err
		}
		var said strings.Builder
		printChanged(&said, &done)
		for _, text := range done.Warnings {
			fmt.Fprintf(&said, "warning: %s\n", text)
		}
		return strings.TrimSpace(said.String()), nil
	}
}

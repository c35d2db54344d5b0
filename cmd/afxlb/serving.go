package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

// servingTime bounds how long a script waits that asks whether a service is served.
const servingTime = 2 * time.Second

// errNotServed ends a command that was to tell by its exit code, after it has said why.
var errNotServed = fmt.Errorf("the service is not served: %w", errSaid)

// ofService lets status tell of one service, in one line, and by its exit code: for scripts,
// as keepalived's track_script.
func ofService(e *env, c *cobra.Command) {
	var service string
	var exit bool
	c.Flags().StringVar(&service, "service", "", "only say, in a line, whether this service is served")
	c.Flags().BoolVar(&exit, "exit-code", false, "with --service: exit with 0 if it has a backend in rotation, else, or if no balancer answers, with 1")
	glance := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		asJSON, err := c.Flags().GetBool("json")
		switch {
		case err != nil:
			return err
		case service == "" && exit:
			return usageError{errors.New("--exit-code is of one service; say which by --service")}
		case service == "":
			return glance(c, args)
		case asJSON:
			return usageError{errors.New("--service gives one line, and --json the whole; want one of them (services --json has all of a service)")}
		}
		socket, err := c.Flags().GetString("socket")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(c.Context(), servingTime, fmt.Errorf("no answer within %v", servingTime))
		defer cancel()
		text, served := serves(ctx, api.NewClient(socket), service)
		fmt.Fprintf(e.stdout, "%s: %s\n", service, text)
		if exit && !served {
			return errNotServed
		}
		return nil
	}
}

// serves says whether a service is served now, and in words how that is.
func serves(ctx context.Context, a *api.Client, service string) (text string, served bool) {
	status, err := a.Status(ctx)
	var list []api.Service
	if err == nil {
		list, err = a.Services(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return "not served: " + err.Error(), false
	}
	if status.State != api.StateServing && status.State != api.StateDegraded {
		return fmt.Sprintf("not served: the balancer is %s (%s)", status.State, orDash(status.Reason)), false
	}
	for i := range list {
		s := &list[i]
		switch {
		case s.Name != service:
		case s.InRotation == 0:
			return fmt.Sprintf("not served: none of %d backends in rotation", s.Backends.Total), false
		case s.Fallback == "panic" && s.Backends.Up == 0: // another machine may reach one
			return fmt.Sprintf("not served: in panic, and none of %d backends is healthy", s.Backends.Total), false
		default:
			return fmt.Sprintf("served: %d of %d backends in rotation", s.InRotation, s.Backends.Total), true
		}
	}
	return "not served: there is no such service", false
}

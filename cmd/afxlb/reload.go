package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newReload(e *env) *cobra.Command {
	var socket string
	var dry, asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running balancer read its config file again",
		Long: `reload has a running balancer read its config file again, as SIGHUP does, and says
what that has changed: a line for each setting, service and backend that is new (+), gone
(-) or another one (~), with the connections that it touches and what becomes of them, and
the share of a consistent hash's slots that get another backend. What that is of backends
which are new holds once they are up. A file that is wrong changes nothing.

With --dry-run it changes nothing either, and says what it would.

Exit code 0: all of the file is in force, or, of a dry run, there is nothing to do; 1: the
file can't be read, the kernel does not take a part of it yet, or the balancer did not
answer; 2: nothing has changed, since the file is wrong; 3: nor has it, since the machine
has no room for that; 4: in force but for the keys that are named, which need a restart,
or, of a dry run, there are changes.`,
		Example: `  afxlb reload --dry-run
  afxlb reload`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			client := api.NewClient(socket)
			if dry {
				return preview(c, e, client, nil, asJSON)
			}
			done, err := changesBy(e, asJSON, func(a *api.Client) (api.Reload, error) { return a.Reload(c.Context()) }, client)
			if err == nil && len(done.NeedsRestart) > 0 {
				err = fmt.Errorf("%w: a restart is needed for %s", errPartly, strings.Join(done.NeedsRestart, ", "))
			}
			return err
		},
	}
	addSocketFlag(c, &socket)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would change")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// preview says what a reload would change, of the balancer's own file or as if text were that.
func preview(c *cobra.Command, e *env, client *api.Client, text *api.ConfigText, asJSON bool) error {
	would, err := changesBy(e, asJSON, func(a *api.Client) (api.Reload, error) { return a.Preview(c.Context(), text) }, client)
	if err == nil && !would.Empty() {
		err = fmt.Errorf("%w: %w", errSaid, errPartly)
	}
	return err
}

// changesBy asks for changes and prints them, or the JSON that they came as.
func changesBy(e *env, asJSON bool, ask func(*api.Client) (api.Reload, error), client *api.Client) (r api.Reload, err error) {
	var answer bytes.Buffer
	if _, err := ask(client.Raw(&answer)); err != nil {
		return r, err
	}
	if err := json.Unmarshal(answer.Bytes(), &r); err != nil {
		return r, fmt.Errorf("read the answer: %w", err)
	}
	if asJSON {
		return r, printJSON(e.stdout, answer.Bytes())
	}
	printChanges(e.stdout, &r)
	return r, nil
}

package demo

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// account shows flows as they are open, and what became of every packet.
func (d *demo) account(ctx context.Context) error {
	d.say("\n4. The account: connections held open at %v; every packet so far\n\n", leastConn.vip)
	if err := d.flows(ctx); err != nil {
		return err
	}
	if err := d.pings(ctx); err != nil {
		return err
	}
	d.say("\n")
	return d.counters(ctx)
}

// known is an open connection as its client knows it.
type known struct{ client, backend string }

// flows holds some connections open and finds each of them among the flows.
func (d *demo) flows(ctx context.Context) error {
	var want []known
	for i := range 2 * clients {
		backend, c, err := open(ctx, d.lab.Clients[i%clients], leastConn)
		if err != nil {
			return err
		}
		defer c.Close()
		want = append(want, known{c.LocalAddr().(*net.TCPAddr).AddrPort().String(), backends[backend].name})
	}
	var list []api.Flow
	var wrong string
	err := d.poll(ctx, 5*time.Second, func(ctx context.Context) (ok bool, err error) {
		if list, err = d.api.Flows(ctx, api.FlowFilter{Service: leastConn.name()}); err != nil {
			return false, err
		}
		list = slices.DeleteFunc(list, func(f api.Flow) bool { return f.State != "tcp-established" })
		wrong = differ(list, want)
		return wrong == "", nil
	})
	if err != nil && wrong == "" {
		return err
	}
	var rows [][]any
	for _, f := range list {
		rows = append(rows, []any{f.Client, f.Backend, f.Target, f.State, f.PacketsIn, f.PacketsOut})
	}
	d.table([]string{"CLIENT", "BACKEND", "TARGET", "STATE", "IN", "OUT"}, rows)
	d.say("\n")
	d.check("the flows listed are the connections that the clients hold", wrong)
	return nil
}

// differ says what is wrong with the list of flows, or nothing. It sorts both.
func differ(list []api.Flow, want []known) string {
	slices.SortFunc(list, func(a, b api.Flow) int { return strings.Compare(a.Client, b.Client) })
	slices.SortFunc(want, func(a, b known) int { return strings.Compare(a.client, b.client) })
	var got []known
	for _, f := range list {
		got = append(got, known{f.Client, f.Backend})
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("expected %v; saw %v", want, got)
	}
	return ""
}

// counters shows the counters, once they stand still: a worker publishes its own
// before it sleeps, which is at once when nothing comes.
func (d *demo) counters(ctx context.Context) error {
	var list []api.Counter
	var wrong, pings string
	err := d.poll(ctx, 5*time.Second, func(ctx context.Context) (ok bool, err error) {
		list, err = d.api.Counters(ctx)
		wrong = unbalanced(list)
		pings = missing(list, "replied", 3)
		return wrong == "" && pings == "", err
	})
	if err != nil && wrong == "" && pings == "" {
		return err
	}
	var rows [][]any
	for _, c := range list {
		if c.Group == "packets" && c.Value > 0 {
			rows = append(rows, []any{c.Name, c.Value, c.Help})
		}
	}
	d.table([]string{"PACKETS", "", ""}, rows)
	d.say("\n")
	d.check("received = forwarded + replied + dropped; and all that XDP steered was received", wrong)
	d.check("one ping is replied to, and each of the two fragments of another", pings)
	return nil
}

// unbalanced says which sum does not come out right, or nothing.
func unbalanced(list []api.Counter) string {
	var received, verdicts, steered, lost uint64
	for _, c := range list {
		switch {
		case c.Group == "packets" && c.Name == "received":
			received = c.Value
		case c.Group == "packets":
			verdicts += c.Value
		case c.Group == "steering" && strings.HasPrefix(c.Name, "steered-"):
			steered += c.Value
		case c.Group == "kernel" && (c.Name == "rx-dropped" || c.Name == "rx-ring-full" || c.Name == "rx-pieces"):
			lost += c.Value
		}
	}
	switch {
	case received == 0:
		return "expected packets; saw none"
	case verdicts != received:
		return fmt.Sprintf("expected verdicts on %d packets; saw %d", received, verdicts)
	case steered != received+lost:
		return fmt.Sprintf("expected %d steered packets to arrive; %d were received and %d lost at the rings", steered, received, lost)
	}
	return ""
}

// missing says how a counter of packets differs from what it should be, or nothing.
func missing(list []api.Counter, name string, want uint64) string {
	for _, c := range list {
		if c.Group == "packets" && c.Name == name {
			if c.Value == want {
				return ""
			}
			return fmt.Sprintf("expected %d packets %s; saw %d", want, name, c.Value)
		}
	}
	return fmt.Sprintf("expected a counter %s; saw none", name)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/trace"
)

func newTrace(e *env) *cobra.Command {
	var q api.TraceQuery
	var vlans []uint
	c := reader(e, &cobra.Command{
		Use:   "trace PACKET",
		Short: "Say what would happen to one packet, and why",
		Long: `trace asks a running balancer what would become of a packet now, and what decides each
step: the steering program's map entries, the flow or the service, persistence, the slot of
the hash or the state of the algorithm, the source port, the next hop, the MTU. It is the
workers' own code over copies of what they go by, and changes nothing: no flow, no counter, no
turn.

PACKET is PROTOCOL SOURCE > DESTINATION, then options: flags SA, length 100 (bytes of
payload), vlan 5, ttl 64, seq and ack, from MAC, and of IPv4 df, more, offset and id. A TCP
packet without flags is a SYN. Without a queue it is that of queue 0: each worker has turns of
its own for round-robin and the like. An interface or queue that is not served is exit code 3.`,
		Example: `  afxlb trace "tcp 198.51.100.7:40000 > 192.0.2.10:80"
  afxlb trace tcp 198.51.100.7:40000 192.0.2.10:80 --flags A --json
  afxlb trace "udp [2001:db8::7]:40000 > [2001:db8::10]:53 length 1400 vlan 5"
  afxlb trace "icmp 198.51.100.7 > 192.0.2.10"`,
	}, func(c *cobra.Command, a *api.Client) (api.Trace, error) {
		return a.Trace(c.Context(), &q)
	}, printTrace)
	ask := c.RunE
	c.Args = nil
	c.RunE = func(c *cobra.Command, args []string) error {
		q.Packet = strings.Join(args, " ")
		for _, name := range []string{"flags", "length", "ttl", "from"} {
			if f := c.Flag(name); f.Changed { // 0 is a value, too
				q.Packet += " " + name + " " + f.Value.String()
			}
		}
		for _, v := range vlans {
			q.Packet += fmt.Sprintf(" vlan %d", v)
		}
		if _, err := trace.Parse(q.Packet); err != nil {
			return usageError{err}
		}
		if q.Queue < 0 {
			return usageError{errors.New("--queue: want a number from 0 up")}
		}
		return ask(c, args)
	}
	n := c.Flags()
	n.StringVar(&q.Interface, "interface", "", "interface that it comes by; left out: the first")
	n.IntVar(&q.Queue, "queue", 0, "queue that it comes by")
	n.String("flags", "", "TCP flags: letters of S, A, F, R, P, U, E and W")
	n.Int("length", 0, "bytes of payload")
	n.Int("ttl", 64, "TTL or hop limit")
	n.String("from", "", "MAC address that it comes from")
	n.UintSliceVar(&vlans, "vlan", nil, "VLAN tags")
	return c
}

func printTrace(w io.Writer, t api.Trace) {
	fmt.Fprintf(w, "%s by %s queue %d, table %d\n", t.Packet, t.Interface, t.Queue, t.Generation)
	table(w, "STEP BY WHAT", func(row func(...any)) {
		for _, s := range t.Steps {
			row(s.Step, s.By, s.Text)
		}
	})
}

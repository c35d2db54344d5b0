package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newStatus(e *env) *cobra.Command {
	c := reader(e, &cobra.Command{Use: "status", Short: "Show a running balancer at a glance", Example: `  afxlb status
  afxlb status --json
  afxlb status --service web --exit-code`},
		func(c *cobra.Command, a *api.Client) (api.Status, error) { return a.Status(c.Context()) }, printStatus)
	ofService(e, c)
	return c
}

func printStatus(w io.Writer, s api.Status) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	state := s.State
	if s.Reason != "" {
		state += " (" + s.Reason + ")"
	}
	line("state", "%s", state)
	line("version", "%s, pid %d, up %v", s.Version, s.PID, time.Since(s.Started).Round(time.Second))
	line("config", "%s, generation %d", s.Config, s.Generation)
	if s.Reload != "" {
		line("last reload", "%s", strings.ReplaceAll(s.Reload, "\n", "; "))
	}
	line("interface", "%s, driver %s, XDP %s, %s, poll %s", s.Interface, s.Driver, orDash(s.XDPMode), orDash(s.Bind), s.Poll)
	if len(s.Ports) > 1 {
		for _, p := range s.Ports {
			line("  "+p.Name, "%s", portLine(&p))
		}
	}
	line("services", "%d of %d up", s.Services.Up, s.Services.Total)
	line("backends", "%d of %d up", s.Backends.Up, s.Backends.Total)
	for i := range s.NotUp {
		b := &s.NotUp[i]
		line("  "+b.State, "%s", notUp(b))
	}
	if more := s.Backends.Total - s.Backends.Up - len(s.NotUp); more > 0 && len(s.NotUp) > 0 {
		line("", "and %d more: afxlb backends", more)
	}
	if len(s.Overrides) > 0 {
		line("overrides", "%s", overrides(s.Overrides))
	}
	f := s.Flows
	line("flows", "%d of %d, %s", f.Flows, f.MaxFlows+f.MaxEmbryonic, classes(f.ByClass))
	line("flow events", "%d new, %d expired, %d+%d evicted (established+embryonic)", f.Inserted, f.Expired, f.EvictedEstablished, f.EvictedEmbryonic)
	if f.Clients > 0 {
		line("persistence", "%d clients of %d", f.Clients, f.MaxClients)
	}
	for _, p := range s.SnatPorts[:min(len(s.SnatPorts), 3)] { // the fullest
		line("snat ports", "%s/%s: %d of %d taken, %d of them at rest", p.Service, p.Backend, p.Taken, p.Total, p.Resting)
	}
	line("drops", "%s", drops(s.Drops))
	for _, warning := range s.Warnings {
		line("warning", "%s%s", warning.Text, since(warning.Since))
	}
	tw.Flush()
	fmt.Fprintln(w)
	table(w, "QUEUE CPU RECEIVED FORWARDED REPLIED PUNTED DROPPED SLOW-PATH BATCHES FRAMES", func(row func(...any)) {
		for _, k := range s.Workers {
			cpu := "any"
			if k.CPU >= 0 {
				cpu = fmt.Sprint(k.CPU)
			}
			row(k.Queue, cpu, k.Received, k.Forwarded, k.Replied, k.Punted, k.Dropped, k.Misses, k.Batches, frames(&k.Frames))
		}
	})
}

// portLine says how one of several interfaces is served.
func portLine(p *api.Port) string {
	if p.Reason != "" {
		return p.State + " (" + p.Reason + ")"
	}
	text := fmt.Sprintf("%s, XDP %s, %s, %d queues, %d received, %d sent", p.State, orDash(p.XDPMode), orDash(p.Bind), len(p.Queues), p.Received, p.Sent)
	if p.Copied > 0 {
		text += fmt.Sprintf(", %d of them copied", p.Copied)
	}
	return text
}

// frames says whose a queue's frames are.
func frames(f *api.Frames) string {
	return fmt.Sprintf("%d free, %d to receive, %d to send of %d", f.Free, f.Filled, f.Held+f.Transmit, f.Total)
}

func classes(by map[string]int) string {
	var parts []string
	for _, c := range []string{
		"tcp-syn", "tcp-established", "tcp-one-sided", "tcp-fin-wait", "tcp-closing", "tcp-refused",
		"udp-new", "udp-established", "udp-one-sided", "icmp",
	} {
		if by[c] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c, by[c]))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// drops lists why packets were lost, the largest first.
func drops(list []api.Counter) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, fmt.Sprintf("%s %d", c.Name, c.Value))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (for %v)", time.Since(t).Round(time.Second))
}

// notUp names a backend that can't serve, says why, and how long that has been so.
func notUp(b *api.NotUp) string {
	text := fmt.Sprintf("%s/%s (%s)", b.Service, b.Backend, b.Address)
	if b.Reason != "" {
		text += ": " + strings.ReplaceAll(b.Reason, "\n", "; ")
	}
	return text + since(b.Since)
}

// overrides lists the first of those backends that operators have changed at run time.
func overrides(list []api.Override) string {
	const few = 5
	var parts []string
	for _, o := range list[:min(len(list), few)] {
		text := fmt.Sprintf("%s/%s %s", o.Service, o.Backend, o.Setting)
		if !o.Kept {
			text += " (not kept over a restart)"
		}
		parts = append(parts, text)
	}
	if more := len(list) - few; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

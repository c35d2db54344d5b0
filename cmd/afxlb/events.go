package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func newEvents(e *env) *cobra.Command {
	var from moment
	var on, asJSON bool
	var socket string
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what has happened to a running balancer",
		Long: `events shows each change of state once: of backends and services, interfaces and links,
reloads, and bounds that are reached. A balancer remembers its last 1,024. The log has
the same ones, by their numbers ("seq").

With --json it is a list, and one event a line with -f.

Exit code 0: these are all, or -f was interrupted; 4: the balancer that -f followed has ended,
and its last events are there.`,
		Example: `  afxlb events --since 1h
  afxlb events -f --json`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			a := api.NewClient(socket)
			if on {
				return follow(c, e.stdout, a, from.Time, asJSON)
			}
			if asJSON {
				var answer bytes.Buffer // only a whole one is printed
				if _, err := a.Raw(&answer).Events(c.Context(), from.Time); err != nil {
					return err
				}
				return printJSON(e.stdout, answer.Bytes())
			}
			list, err := a.Events(c.Context(), from.Time)
			if err != nil {
				return err
			}
			for i := range list {
				if err := printEvent(e.stdout, &list[i]); err != nil {
					return err
				}
			}
			return nil
		},
	}
	addSocketFlag(c, &socket)
	c.Flags().BoolVarP(&on, "follow", "f", false, "go on with each as it happens")
	c.Flags().Var(&from, "since", "only those from then on: a duration, 10m, or a time, 15:04 or 2006-01-02T15:04:05Z")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// follow prints each event as it comes, until the balancer ends or whoever reads it.
func follow(c *cobra.Command, w io.Writer, a *api.Client, since time.Time, asJSON bool) error {
	for told, err := range a.Follow(c.Context(), since, "") {
		switch {
		case c.Context().Err() != nil: // interrupted: that is how it ends
			return nil
		case errors.Is(err, api.ErrEnded): // no more to follow
			err = fmt.Errorf("%w: %w", errPartly, api.ErrEnded)
		case err != nil:
		case told.Gap != nil && asJSON:
			err = json.NewEncoder(w).Encode(told.Gap)
		case told.Gap != nil:
			_, err = fmt.Fprintf(w, "... %d events are lost: they came faster than they were read\n", told.Gap.Missed)
		case asJSON:
			err = json.NewEncoder(w).Encode(told.Event)
		default:
			err = printEvent(w, &told.Event)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printEvent prints a line.
func printEvent(w io.Writer, e *api.Event) error {
	text := e.Text
	if e.Reason != "" {
		text += ": " + strings.ReplaceAll(e.Reason, "\n", "; ")
	}
	_, err := fmt.Fprintf(w, "%s  %-5s  %-19s  %-12s  %s\n", e.Time.Local().Format(time.DateTime), strings.ToUpper(string(e.Severity)), e.Kind, orDash(e.About()), text)
	return err
}

// moment is a flag: a time, or how long ago it is.
type moment struct{ time.Time }

// String returns the flag's text, which is empty if there is no default.
func (m *moment) String() string { return "" }

// Type names the value in the help text.
func (m *moment) Type() string { return "time" }

// Set reads the flag's argument.
func (m *moment) Set(s string) error {
	now := time.Now()
	if ago, err := time.ParseDuration(s); err == nil {
		m.Time = now.Add(-ago.Abs()) // -10m is journalctl's word for it
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			m.Time = t
			return nil
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			m.Time = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
			return nil
		}
	}
	return fmt.Errorf("want a duration, as 10m, or a time, as 15:04 or 2006-01-02T15:04:05Z")
}

package top

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// framesPerSecond bounds what a terminal gets: only what differs is sent, and not more often.
const framesPerSecond = 10

// Run shows a running balancer on the terminal until the user quits, or the context ends.
func Run(ctx context.Context, in, out *os.File, from Source, o Options) error {
	_, err := tea.NewProgram(New(ctx, from, o), tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithFPS(framesPerSecond),
		tea.WithoutSignalHandler(), // the context ends by signals
	).Run()
	switch {
	case ctx.Err() != nil: // interrupted: that is how it may end
		return nil
	case err != nil:
		return fmt.Errorf("use the terminal: %w", err)
	}
	return nil
}

// Once writes one frame: of two samples, for there are no rates of one. Who interrupts the
// wait for the second gets the frame without.
func Once(ctx context.Context, w io.Writer, from Source, o Options) error {
	m := New(ctx, from, o)
	sample := func() error {
		s, err := ask(ctx, from, m.list().question)
		if err == nil {
			err = s.refused
		}
		if err == nil {
			m.take(sampled{sample: s})
		}
		return err
	}
	if err := sample(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(o.Interval):
		if err := sample(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return m.print(w)
}

// ParseView returns the view of a name.
func ParseView(name string) (Kind, error) {
	for k, known := range Views {
		if name == known {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("view %q: want one of %s", name, strings.Join(Views, ", "))
}

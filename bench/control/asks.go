package control

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// asks is how long the command line took, from the start of a process to its end.
type asks struct {
	status, backends []time.Duration
	failed           int // of all, with an exit code that is not 0
}

// verbs are what is asked.
var verbs = [][]string{{"status"}, {"backends", "--json"}}

// once asks everything once. Who gets no answer has waited too.
func (a *asks) once(ctx context.Context, s *stage) error {
	for i, verb := range verbs {
		var stderr bytes.Buffer
		c := exec.CommandContext(ctx, s.program, append(slices.Clone(verb), "--socket", s.socket())...)
		c.Stderr = &stderr
		begun := time.Now()
		err := c.Run()
		took := time.Since(begun)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if a.failed++; a.failed == 1 {
				s.note(fmt.Sprintf("%s: %s %q: %v: %s", s.scene, "the command line", verb, err, bytes.TrimSpace(stderr.Bytes())))
			}
		}
		if i == 0 {
			a.status = append(a.status, took)
		} else {
			a.backends = append(a.backends, took)
		}
	}
	return nil
}

// times asks so many times, but for no longer than given.
func (a *asks) times(ctx context.Context, s *stage, n int, most time.Duration) error {
	for begun := time.Now(); n > 0 && time.Since(begun) < most; n-- {
		if err := a.once(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// beside asks again and again, with pauses, while f runs.
func (a *asks) beside(ctx context.Context, s *stage, f func() error) error {
	const apart = 200 * time.Millisecond
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			if err := a.once(ctx, s); err != nil {
				stopped <- err
				return
			}
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(apart):
			}
		}
	}()
	err := f()
	close(stop)
	if asked := <-stopped; err == nil {
		err = asked
	}
	return err
}

// median and worst are of what took so long; 0 of nothing.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

func worst(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}

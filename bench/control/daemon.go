package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

const configFile, socketFile = "afxlb.yaml", "afxlb.sock"

// start starts the daemon, and returns when its control socket is there.
func (s *stage) start(ctx context.Context) (err error) {
	s.begun = time.Now()
	s.daemon, err = peer.Start(ctx, s.lab.Balancer, peer.Command{
		Program: s.program,
		Args: []string{
			"--config", "{dir}/" + configFile, "--socket", "{dir}/" + socketFile,
			"--interface", lab.Interface, "--cpus", fmt.Sprint(s.place.worker[0]),
		},
		Files: map[string]string{configFile: s.scene.config(nil)},
		Ready: func(_ context.Context, p *peer.Process) (bool, error) {
			_, err := os.Stat(filepath.Join(p.Dir, socketFile))
			return err == nil, err
		},
	})
	if err == nil {
		s.api = api.NewClient(s.socket())
	}
	return err
}

func (s *stage) socket() string { return filepath.Join(s.daemon.Dir, socketFile) }

// patience is how long anything may take. What takes longer is noted, and counts as
// having taken as long.
const patience = time.Minute

// await asks again and again, so far apart, and returns how long it took from a time
// until the answer was yes. The answer may be an error: the daemon may be too busy.
func (s *stage) await(ctx context.Context, what string, since time.Time, apart time.Duration, ask func(context.Context) (bool, error)) (time.Duration, error) {
	for {
		ok, err := ask(ctx)
		took := time.Since(since)
		if ok && err == nil {
			return took, nil
		}
		if err := errors.Join(s.daemon.Err(), s.deserted()); err != nil {
			return took, err
		}
		if took > patience {
			s.note(fmt.Sprintf("%s: given up after %v: %s (last error: %v)", s.scene, patience, what, err))
			return took, nil
		}
		if err := pass(ctx, apart); err != nil {
			return took, err
		}
	}
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

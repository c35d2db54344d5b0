package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// reload changes one weight in the config file, and returns how long it takes from the
// signal until the control socket shows it, and a newer table than before.
func (s *stage) reload(ctx context.Context) (time.Duration, error) {
	service, weight := s.reloaded%s.scene.Services, 2+s.reloaded/s.scene.Services
	s.reloaded++
	s.weights[service] = weight
	if err := os.WriteFile(filepath.Join(s.daemon.Dir, configFile), []byte(s.scene.config(s.weights)), 0o600); err != nil {
		return 0, fmt.Errorf("change a weight: %w", err)
	}
	var before uint64
	_, err := s.await(ctx, "the status is told", time.Now(), watch, func(ctx context.Context) (bool, error) {
		st, err := s.api.Status(ctx)
		before = st.Generation
		return err == nil, err
	})
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := s.daemon.Signal(syscall.SIGHUP); err != nil {
		return 0, err
	}
	return s.await(ctx, "a changed weight is shown", begun, 5*time.Millisecond, func(ctx context.Context) (bool, error) {
		list, err := s.api.Backends(ctx, serviceName(service))
		if err != nil || len(list) == 0 || list[0].Weight != weight {
			return false, err
		}
		st, err := s.api.Status(ctx)
		return st.Generation > before, err
	})
}

// reloads does so many of them.
func (s *stage) reloads(ctx context.Context, n int) (took []time.Duration, err error) {
	for range n {
		t, err := s.reload(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, t)
	}
	return took, nil
}

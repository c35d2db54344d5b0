package control

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
)

// TestReload has a daemon that only says that it was signalled: what a control socket
// shows is the test's.
func TestReload(t *testing.T) {
	// What nohup ignores a shell can't trap; what this process catches is not inherited.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	s := scenery(t)
	s.scene.Services = 2
	f := &fake{}
	s.api = f.client(t)
	var err error
	s.daemon, err = peer.Start(t.Context(), s.lab.Balancer, peer.Command{
		Program: "/bin/sh", Args: []string{"-c", `trap 'echo reload' HUP; trap 'exit 0' TERM; echo ready; while :; do sleep 9 & wait $!; done`},
		Ready: peer.Says("ready"),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.show(api.Backend{Weight: 1}, api.Backend{Weight: 1})
	for i, want := range []struct{ service, weight int }{{0, 2}, {1, 2}, {0, 3}} {
		done := make(chan error, 1)
		go func() {
			_, err := s.reload(t.Context())
			done <- err
		}()
		signalled(t, s, i+1)
		c, err := config.Load(filepath.Join(s.daemon.Dir, configFile))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Spec.Services[want.service].Backends[0].Weight; int(got) != want.weight {
			t.Errorf("reload %d: the file says weight %d for service %d, want %d", i, got, want.service, want.weight)
		}
		f.change(func() { f.backends[0].Weight = want.weight })
		select {
		case err := <-done: // of an old table
			t.Fatalf("reload %d has ended before there was a new table: %v", i, err)
		case <-time.After(50 * time.Millisecond):
		}
		f.change(func() { f.status.Generation++ })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// signalled waits until the daemon was told to reload so many times.
func signalled(t *testing.T, s *stage, n int) {
	t.Helper()
	_, err := s.await(t.Context(), "the signal", time.Now(), time.Millisecond, func(context.Context) (bool, error) {
		return len(s.daemon.Output()) >= len("ready\n")+n*len("reload\n"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

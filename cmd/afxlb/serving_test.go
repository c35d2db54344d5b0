package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
)

// shown is a balancer in a state, with a service that has so many backends in rotation.
type shown struct {
	fake
	state    string
	rotation int
	fallback string
	sick     bool // all backends are
}

func (s shown) Status() api.Status { return api.Status{State: s.state, Reason: "for a reason"} }
func (s shown) Services() []api.Service {
	up := 2
	if s.sick {
		up = 0
	}
	return []api.Service{
		{Name: "other", InRotation: 1, Announce: "none"},
		{Name: "web", Backends: api.UpTotal{Up: up, Total: 3}, InRotation: s.rotation, Fallback: s.fallback, Announce: "none"},
	}
}

// The exit code is 0 only if a balancer serves and the service has a backend in rotation; a
// line says it, and is all that is said.
func TestStatusOfAService(t *testing.T) {
	for name, c := range map[string]struct {
		shown
		args string
		code int
		want string
	}{
		"served":         {shown{state: "serving", rotation: 2}, "--service web --exit-code", exitDone, "web: served: 2 of 3 backends in rotation\n"},
		"degraded":       {shown{state: "degraded", rotation: 1}, "--service web --exit-code", exitDone, "web: served: 1 of 3 backends in rotation\n"},
		"none":           {shown{state: "serving"}, "--service web --exit-code", exitFailed, "web: not served: none of 3 backends in rotation\n"},
		"panic":          {shown{state: "serving", rotation: 3, fallback: "panic"}, "--service web --exit-code", exitDone, "web: served: 3 of 3 backends in rotation\n"},
		"all sick":       {shown{state: "serving", rotation: 3, fallback: "panic", sick: true}, "--service web --exit-code", exitFailed, "web: not served: in panic, and none of 3 backends is healthy\n"},
		"only told":      {shown{state: "serving"}, "--service web", exitDone, "web: not served: none of 3 backends in rotation\n"},
		"waiting":        {shown{state: "waiting", rotation: 2}, "--service web --exit-code", exitFailed, "web: not served: the balancer is waiting (for a reason)\n"},
		"another one":    {shown{state: "serving", rotation: 2}, "--service wob --exit-code", exitFailed, "wob: not served: there is no such service\n"},
		"of none":        {shown{state: "serving"}, "--exit-code", exitUsage, "say which by --service"},
		"in two manners": {shown{state: "serving"}, "--service web --json", exitUsage, "want one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := api.Listen(socket)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = api.Serve(t.Context(), l, c.shown, zap.NewNop(), 4) }()
			code, stdout, stderr := cli(append([]string{"status", "--socket", socket}, strings.Fields(c.args)...)...)
			if said := stdout + stderr; code != c.code || c.code == exitUsage && !strings.Contains(said, c.want) || c.code != exitUsage && said != c.want {
				t.Errorf("exit code %d, %q", code, said)
			}
		})
	}
}

// Without a balancer, or with one that does not answer, it is not served, and that does not
// take long.
func TestStatusOfAServiceOfNobody(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	args := []string{"status", "--service", "web", "--exit-code", "--socket", socket}
	if code, stdout, stderr := cli(args...); code != exitFailed || !strings.HasPrefix(stdout, "web: not served: ") || stderr != "" {
		t.Errorf("without a socket: exit code %d, %q, %q", code, stdout, stderr)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	if code, stdout, _ := cli(args...); code != exitFailed || stdout != "web: not served: no answer within 2s\n" {
		t.Errorf("of a mute one: exit code %d, %q", code, stdout)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
}

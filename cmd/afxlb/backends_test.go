package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

func TestPrintChecks(t *testing.T) {
	now := time.Unix(1000, 0)
	asked, next := now.Add(-1500*time.Millisecond), now.Add(3500*time.Millisecond)
	var b bytes.Buffer
	printChecks(&b, []api.Backend{
		{Service: "web", Name: "a", State: "up", Suspicions: 2, Checks: []api.Check{
			{Type: "https", Address: "10.0.0.1:443", Source: "10.0.0.9", Result: "ok", Took: 1234567, At: &asked, Next: &next},
			{Type: "tcp", Address: "192.0.2.10:443", Result: "none"},
		}},
		{Service: "web", Name: "b", State: "unreachable", Reason: "no route"},
	}, now)
	want := []string{
		"SERVICE BACKEND STATE SUSPICIONS TYPE ASKED SOURCE RESULT TOOK AGO NEXT ERROR",
		"web a up 2 https 10.0.0.1:443 10.0.0.9 ok 1.23ms 1.5s 3.5s",
		"web a up 2 tcp 192.0.2.10:443 none now",
		"web b unreachable (no route) 0 none",
	}
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != strings.TrimSpace(want[i]) && strings.ReplaceAll(got, " -", "") != want[i] {
			t.Errorf("%q", got)
		}
	}
}

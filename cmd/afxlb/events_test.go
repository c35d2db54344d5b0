package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
)

func recorded() *events.Recorder {
	r := events.NewRecorder(zap.NewNop())
	r.Record(api.Event{Kind: events.BackendDown, Severity: events.Warning, Service: "web", Backend: "a", Text: "backend is down", Reason: "two\nlines"})
	r.Record(api.Event{Kind: events.NoBackend, Severity: events.Warning, Service: "web", Text: "service has no backend in rotation"})
	r.Record(api.Event{Kind: events.MTU, Severity: events.Warning, Interface: "eth0", Text: "too large"})
	r.Record(api.Event{Kind: events.Announce, Severity: events.Info, Address: "192.0.2.10", Interface: "eth0", Text: "the address is announced"})
	r.Record(api.Event{Kind: events.Reload, Severity: events.Info, Text: "reloaded"})
	return r
}

func TestEvents(t *testing.T) {
	socket := fakeSocket(t, fake{events: recorded()})
	code, stdout, stderr := cli("events", "--socket", socket)
	want := regexp.MustCompile(`^[-0-9]{10} [:0-9]{8}  WARN   backend-down         web/a         backend is down: two; lines
[-0-9]{10} [:0-9]{8}  WARN   no-backend           web           service has no backend in rotation
[-0-9]{10} [:0-9]{8}  WARN   mtu                  eth0          too large
[-0-9]{10} [:0-9]{8}  INFO   announce             192.0.2.10 eth0  the address is announced
[-0-9]{10} [:0-9]{8}  INFO   reload               -             reloaded
$`)
	if code != exitDone || stderr != "" || !want.MatchString(stdout) {
		t.Errorf("exit code %d, %q\n%s", code, stderr, stdout)
	}
	var list []api.Event
	if code, stdout, _ := cli("events", "--json", "--socket", socket); code != exitDone || json.Unmarshal([]byte(stdout), &list) != nil || len(list) != 5 {
		t.Errorf("--json: exit code %d, %s", code, stdout)
	}
	if code, stdout, _ := cli("events", "--since", list[4].Time.Format(time.RFC3339Nano), "--socket", socket); code != exitDone || strings.Count(stdout, "\n") != 1 {
		t.Errorf("--since: exit code %d, %s", code, stdout)
	}
	if code, _, stderr := cli("events", "--since", "yesterday", "--socket", socket); code != exitUsage || !strings.Contains(stderr, "want a duration") {
		t.Errorf("--since yesterday: exit code %d, %s", code, stderr)
	}
	for _, follow := range []string{"-f", "-f=false"} {
		if code, _, stderr := cli("events", follow, "--socket", "/nonexistent.sock"); code != exitFailed || !strings.Contains(stderr, "is it running?") {
			t.Errorf("%s without a balancer: exit code %d, %s", follow, code, stderr)
		}
	}
}

// Who follows is told that the balancer has ended, and has what it told before.
func TestFollowToTheEnd(t *testing.T) {
	socket, stop := fakeBalancer(t, fake{events: recorded()})
	defer stop()
	var out, stderr bytes.Buffer
	seen := &watched{w: &out, on: "reloaded", then: stop}
	code := run(t.Context(), &env{stdout: seen, stderr: &stderr}, []string{"events", "-f", "--socket", socket})
	if code != exitPartly || strings.Count(out.String(), "\n") != 5 || stderr.String() != "afxlb: done, but not all of it: the balancer has ended\n" {
		t.Errorf("exit code %d, %q\n%s", code, stderr.String(), out.String())
	}
}

func TestSince(t *testing.T) {
	now := time.Now()
	today := time.Date(now.Year(), now.Month(), now.Day(), 15, 4, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"10m": now.Add(-10 * time.Minute), "-10m": now.Add(-10 * time.Minute), "15:04": today, "15:04:05": today.Add(5 * time.Second),
		"2026-01-02": time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local), "2026-01-02 15:04": time.Date(2026, 1, 2, 15, 4, 0, 0, time.Local),
		"2026-01-02T15:04:05Z": time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
	} {
		var m moment
		if err := m.Set(text); err != nil || m.Sub(want).Abs() > time.Minute {
			t.Errorf("%s is %v, %v, want %v", text, m.Time, err, want)
		}
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// At a glance it shows who is down, why, and since when; of many, how many more there are.
func TestStatusNamesWhoIsNotUp(t *testing.T) {
	s := api.Status{Backends: api.UpTotal{Up: 3, Total: 12}, NotUp: []api.NotUp{
		{Service: "web", Backend: "b1", Address: "10.0.0.12:8080", State: "down", Reason: "HTTP 503\n<html>", Since: time.Now().Add(-time.Hour)},
		{Service: "web", Backend: "b2", Address: "10.0.0.13", State: "disabled"},
	}}
	for more, want := range map[int]string{
		7: "backends 3 of 12 up down web/b1 (10.0.0.12:8080): HTTP 503; <html> (for 1h0m0s) disabled web/b2 (10.0.0.13) and 7 more: afxlb backends flows",
		0: "backends 3 of 5 up down web/b1 (10.0.0.12:8080): HTTP 503; <html> (for 1h0m0s) disabled web/b2 (10.0.0.13) flows",
	} {
		s.Backends.Total = s.Backends.Up + len(s.NotUp) + more
		var out strings.Builder
		printStatus(&out, s)
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

package main

import (
	"bytes"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// What has changed is aligned, with a sign for each line.
func TestPrintChanges(t *testing.T) {
	full := api.Reload{
		Generation: 7,
		Settings: []api.SettingChange{
			{Key: "queues", Old: "all", New: "0-3", NeedsRestart: true},
			{Key: "neighbours.10.0.0.1", New: "02:00:00:00:00:01"},
		},
		Services: []api.ServiceChange{
			{Service: "new", Address: "192.0.2.11:80/tcp", Change: api.Added},
			{
				Service: "web", Address: "[2001:db8::1]:80/tcp", Change: api.Changed, Connections: 12, Slots: 65537, SlotsMoved: 3, MovedPercent: 0.01,
				Settings: []api.SettingChange{{Key: "health.path", Old: "/", New: "/ok"}},
				Backends: []api.BackendChange{
					{Backend: "a", Address: "10.0.0.11:8080", Change: api.Changed, Settings: []api.SettingChange{{Key: "weight", Old: "1", New: "5"}}, Connections: 11},
					{Backend: "b", Address: "10.0.0.12:8080", Change: api.Removed, Connections: 1, Then: "each is reset"},
					{Backend: "c", Address: "10.0.0.13:8080", Change: api.Added},
				},
			},
			{Service: "old", Address: "192.0.2.12:any/udp", Change: api.Removed, Connections: 2, Then: "each ends"},
		},
		Overrides: []api.OverrideFate{
			{Service: "web", Backend: "a", Override: "drain", Kept: true},
			{Service: "web", Backend: "b", Override: "weight 5", Reason: "the file does not have it any more"},
		},
	}
	const lines = `~ queues               all → 0-3                 needs a restart
~ neighbours.10.0.0.1  none → 02:00:00:00:00:01
+ service new          192.0.2.11:80/tcp
~ service web          [2001:db8::1]:80/tcp      12 connections
  ~ health.path        / → /ok
  ~ backend a          10.0.0.11:8080            11 connections
    ~ weight           1 → 5
  - backend b          10.0.0.12:8080            1 connection: each is reset
  + backend c          10.0.0.13:8080
  ~ hash slots         0.01% move                3 of 65537
- service old          192.0.2.12:any/udp        2 connections: each ends
= override of web/a    drain                     stays
- override of web/b    weight 5                  ends: the file does not have it any more
`
	dry := full
	dry.DryRun = true
	for want, r := range map[string]api.Reload{
		"reloaded, generation 7\n" + lines:              full,
		"a reload would change:\n" + lines:              dry,
		"reloaded, generation 3: nothing has changed\n": {Generation: 3},
		"a reload would change nothing\n":               {Generation: 3, DryRun: true},
	} {
		var out bytes.Buffer
		if printChanges(&out, &r); out.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", &out, want)
		}
	}
}

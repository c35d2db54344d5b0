package daemon

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

// fateSpec is a service with one backend.
func fateSpec(p balancer.Protocol, m balancer.Mode, d balancer.OnDown) balancer.ServiceSpec {
	return balancer.ServiceSpec{
		Name: "web", Address: netip.MustParseAddr("192.0.2.10"), First: 80, Last: 80, Protocol: p, Mode: m, OnDown: d, DrainTime: time.Minute,
		Backends: []balancer.BackendSpec{{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Port: 8080, Weight: 1}},
	}
}

// What is told of connections is what engine/reconsider.go does: a backend that is gone has
// none for long, and a service's mode changes those that can't go on.
func TestFates(t *testing.T) {
	tcp, udp := balancer.TCP, balancer.UDP
	for _, test := range []struct {
		p             balancer.Protocol
		d             balancer.OnDown
		was, is       balancer.Mode
		removed, mode string
	}{
		{tcp, balancer.Reassign, balancer.NAT, balancer.NAT, "another backend at its next packet, and ends there", ""},
		{tcp, balancer.Keep, balancer.NAT, balancer.DSR, "another backend at its next packet, and ends there", "ends at its next packet: in mode dsr"},
		{tcp, balancer.Reset, balancer.NAT, balancer.FullNAT, "is reset", "goes on as it began until it ends; new ones are in mode fullnat"},
		{tcp, balancer.Reset, balancer.DSR, balancer.IPIP, "is reset", "stays where it is, in mode ipip from its next packet on"},
		{tcp, balancer.Reset, balancer.GRE, balancer.GUE, "is reset", "stays where it is, in mode gue from its next packet on"},
		{tcp, balancer.Reset, balancer.IPIP, balancer.NAT, "is reset", "goes on without a tunnel"},
		{tcp, balancer.Reset, balancer.FullNAT, balancer.GUE, "is reset", "ends at its next packet: in mode gue"},
		{tcp, balancer.Reassign, balancer.DSR, balancer.NAT, "another backend", "goes on as it began"},
		{udp, balancer.Reset, balancer.NAT, balancer.FullNAT, "goes to another backend at its next packet", "chooses anew at its next packet, in mode fullnat"},
		{udp, balancer.Reassign, balancer.NAT, balancer.DSR, "goes to another backend at its next packet", "chooses anew at its next packet, in mode dsr"},
		{udp, balancer.Reassign, balancer.DSR, balancer.GUE, "goes to another backend at its next packet", "stays where it is, in mode gue from its next packet on"},
	} {
		was, is := fateSpec(test.p, test.was, test.d), fateSpec(test.p, test.is, test.d)
		name := fmt.Sprintf("%v, on-down %v, mode %v after %v", test.p, test.d, test.is, test.was)
		if got := afterRemoval(&is); !strings.Contains(got, test.removed) {
			t.Errorf("%s: of a removed backend: %q, want %q", name, got, test.removed)
		}
		if got := afterMode(&was, &is); (got == "") != (test.mode == "") || !strings.Contains(got, test.mode) {
			t.Errorf("%s: of the service: %q, want %q", name, got, test.mode)
		}
		if got, timed := afterDrain(&is), test.p == udp; strings.Contains(got, "1m") != timed {
			t.Errorf("%s: of a drained backend: %q", name, got)
		}
	}
	alone := fateSpec(tcp, balancer.NAT, balancer.Reassign)
	alone.Backends = nil
	if got := afterRemoval(&alone); !strings.Contains(got, "no other backend") {
		t.Errorf("of the last backend: %q", got)
	}
}

// A service that has not changed is not told of, and of one that has what has.
func TestServiceChange(t *testing.T) {
	was := fateSpec(balancer.TCP, balancer.NAT, balancer.Reassign)
	is := fateSpec(balancer.TCP, balancer.NAT, balancer.Reassign)
	b := control.BackendDifference{Key: was.BackendKey(&was.Backends[0]), Was: &was.Backends[0], Is: &is.Backends[0], Live: 3}
	d := control.ServiceDifference{Was: &was, Is: &is, Moved: 1, Slots: 3, Backends: []control.BackendDifference{b}}
	if got, ok := serviceChange(&d); ok {
		t.Errorf("nothing has changed, and it tells of %+v", got)
	}
	is.Backends[0].Weight = 5
	got, _ := serviceChange(&d)
	want := api.ServiceChange{
		Service: "web", Address: "192.0.2.10:80/tcp", Change: api.Changed, Connections: 3, Slots: 3, SlotsMoved: 1, MovedPercent: 33.33,
		Backends: []api.BackendChange{{
			Backend: "a", Address: "10.0.0.11:8080", Change: api.Changed, Settings: []api.SettingChange{{Key: "weight", Old: "1", New: "5"}}, Connections: 3,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a changed one (-want +got):\n%s", diff)
	}
	d.Backends[0].Was, d.Was = nil, nil
	if got, ok := serviceChange(&d); !ok || got.Change != api.Added || got.Backends != nil {
		t.Errorf("a new one: %+v", got)
	}
	d.Was, d.Is, d.Backends[0].Was = &was, nil, &was.Backends[0]
	if got, ok := serviceChange(&d); !ok || got.Change != api.Removed || got.Connections != 3 {
		t.Errorf("one that is gone: %+v", got)
	}
}

// A service whose address, protocol or ports change is another one, and its packets may be that one's.
func TestFatesOfAService(t *testing.T) {
	was := fateSpec(balancer.TCP, balancer.NAT, balancer.Reassign)
	for name, test := range map[string]struct {
		change func(is *balancer.ServiceSpec)
		want   string
	}{
		"another address":  {func(is *balancer.ServiceSpec) { is.Address = is.Address.Next() }, "kernel's then"},
		"another port":     {func(is *balancer.ServiceSpec) { is.First, is.Last = 81, 81 }, "kernel's then"},
		"another protocol": {func(is *balancer.ServiceSpec) { is.Protocol = balancer.UDP }, "kernel's then"},
		"more ports":       {func(is *balancer.ServiceSpec) { is.Last = 90 }, "for service wide from its next packet on, where that has its port, and ends unless"},
		"with on-down":     {func(is *balancer.ServiceSpec) { is.Last, is.OnDown = 90, balancer.Reset }, "and is reset"},
	} {
		is := was
		is.Name = "wide"
		test.change(&is)
		d := &control.Difference{Services: []control.ServiceDifference{{Is: &is}, {Was: &was}}}
		if got := afterService(&was, d); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	all, wide := was, was
	all.Name, all.First, all.Last = "all", 0, balancer.MaxPort
	wide.Name, wide.Last = "wide", 90
	d := &control.Difference{Services: []control.ServiceDifference{{Is: &all}, {Is: &wide}, {Was: &was}}}
	if got := afterService(&was, d); !strings.Contains(got, "for service wide") {
		t.Errorf("of two that have its port: %q", got)
	}
	udp := fateSpec(balancer.UDP, balancer.NAT, balancer.Reassign)
	wide = udp
	wide.First = 0
	if got := afterService(&udp, &control.Difference{Services: []control.ServiceDifference{{Is: &wide}}}); !strings.HasSuffix(got, "and chooses anew") {
		t.Errorf("udp: %q", got)
	}
}

// The log's line has what has changed, as far as a line may be long.
func TestSummary(t *testing.T) {
	if got := summary(&api.Reload{}, true); got != "nothing has changed" {
		t.Errorf("of nothing: %q", got)
	}
	r := api.Reload{
		Settings: []api.SettingChange{{Key: "log.level", Old: "info", New: "debug"}},
		Services: []api.ServiceChange{
			{Service: "new", Change: api.Added},
			{
				Service: "web", Change: api.Changed, Settings: []api.SettingChange{{Key: "persistence.timeout", New: "10m"}}, Connections: 9, SlotsMoved: 5, MovedPercent: 0.5,
				Backends: []api.BackendChange{
					{Backend: "a", Change: api.Changed, Settings: []api.SettingChange{{Key: "weight", Old: "1", New: "0"}}, Connections: 8},
					{Backend: "b", Change: api.Removed, Connections: 1},
				},
			},
			{Service: "old", Change: api.Removed, Connections: 7},
		},
	}
	const want = "log.level info → debug; service new added; web: persistence.timeout none → 10m; web/a: weight 1 → 0; " +
		"web: backend b removed (1 connection); web: 0.50% of the hash slots move; service old removed (7 connections)"
	if got := summary(&r, true); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := summary(&r, false); !strings.HasPrefix(got, "log.level has changed; service new added; web: persistence.timeout has changed; web/a: weight has changed; web: backend b") {
		t.Errorf("without values: %s", got)
	}
	for range 1000 {
		r.Services = append(r.Services, api.ServiceChange{Service: "more", Change: api.Added})
	}
	if got := summary(&r, true); len(got) > 1000 || !strings.HasSuffix(got, "; and 987 more") {
		t.Errorf("of very much: %q", got)
	}
}

// Which operators' changes stay, and which do not.
func TestOverridesAreTold(t *testing.T) {
	s := fateSpec(balancer.TCP, balancer.NAT, balancer.Reassign)
	d := control.Difference{
		Services: []control.ServiceDifference{{Was: &s, Is: &s, Backends: []control.BackendDifference{
			{Was: &s.Backends[0], Is: &s.Backends[0], Override: control.Setting{State: control.BackendDrain}}, {Was: &s.Backends[0], Is: &s.Backends[0]},
		}}},
		Ended: []control.Ended{{Service: "web", Backend: "b", Setting: control.Setting{Weighted: true, Weight: 5}, Why: "the file has changed it"}},
	}
	want := []api.OverrideFate{
		{Service: "web", Backend: "a", Override: "drain", Kept: true},
		{Service: "web", Backend: "b", Override: "weight 5", Reason: "the file has changed it"},
	}
	if diff := cmp.Diff(want, overrides(&d)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

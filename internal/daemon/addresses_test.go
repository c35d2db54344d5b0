package daemon

import (
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/announce"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
)

// An address is announced as long as one of its services has somebody who serves, or who
// drains and has not finished.
func TestAnnounced(t *testing.T) {
	shared, alone, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	service := func(a netip.Addr, port uint16, how balancer.Announce, up int, state string) control.ServiceView {
		return control.ServiceView{
			Spec: &balancer.ServiceSpec{Address: a, First: port, Last: port, Announce: how}, Up: up, Backends: []control.BackendView{{State: state}},
		}
	}
	v := &control.View{Services: []control.ServiceView{
		service(shared, 80, balancer.AnnounceARP, 0, control.BackendDown), service(shared, 81, balancer.AnnounceARP, 1, control.BackendUp),
		service(alone, 80, balancer.AnnounceLocal, 0, control.BackendDrain), service(other, 80, balancer.AnnounceNone, 1, control.BackendUp),
	}}
	loads := balancer.NewLoads()
	if got := announced(v, loads); len(got) != 1 || got[shared] != balancer.AnnounceARP {
		t.Errorf("before there is a table: %v", got)
	}
	v.Table = &balancer.Table{Services: make([]balancer.Service, len(v.Services))}
	for i := range v.Table.Services {
		v.Table.Services[i].Backends = []uint32{uint32(i)}
	}
	if got := announced(v, loads); len(got) != 1 || got[shared] != balancer.AnnounceARP {
		t.Errorf("of one that drains without connections: %v", got)
	}
	loads.AddLive(2, 1)
	if got := announced(v, loads); len(got) != 2 || got[alone] != balancer.AnnounceLocal {
		t.Errorf("of one that drains with a connection: %v", got)
	}
	v.Services[1].Up = 0
	if got := announced(v, loads); len(got) != 1 {
		t.Errorf("when both of an address have nobody: %v", got)
	}
	v.Services[1].Spec.Announce, v.Services[1].Up = balancer.AnnounceNone, 1
	if got := announced(v, loads); len(got) != 2 || got[shared] != balancer.AnnounceARP {
		t.Errorf("of one that leaves it to another of its address: %v", got)
	}
}

// Each change of an address is one event, and what is over says so.
func TestTellAddress(t *testing.T) {
	d := &daemon{events: events.NewRecorder(zap.NewNop())}
	a := netip.MustParseAddr("192.0.2.1")
	held := announce.State{How: balancer.AnnounceARP, Held: true, Device: "eth0"}
	rival := held
	rival.Conflict = "02:00:00:00:00:01"
	steps := []struct {
		was, is announce.State
		kind    events.Kind
		over    bool
	}{
		{announce.State{}, held, events.Announce, false},
		{held, rival, events.AddressConflict, false},
		{rival, held, events.AddressConflict, true},
		{held, announce.State{}, events.Announce, true},
		{announce.State{}, announce.State{Conflict: "02:00:00:00:00:01"}, events.AddressConflict, false},
		{announce.State{}, announce.State{Problem: "no such thing"}, events.AnnounceFailed, false},
		{announce.State{Problem: "no such thing"}, announce.State{}, events.AnnounceFailed, true},
		{announce.State{Conflict: "02:00:00:00:00:01"}, announce.State{}, events.AddressConflict, true},
	}
	for _, s := range steps {
		d.tellAddress(a, s.was, s.is)
	}
	list, _, _ := d.events.After(0)
	if len(list) != len(steps) {
		t.Fatalf("%d events of %d changes: %+v", len(list), len(steps), list)
	}
	for i, s := range steps {
		if e := list[i]; e.Kind != s.kind || e.Over != s.over || e.Address != a.String() {
			t.Errorf("step %d: %+v", i, e)
		} else if unwanted := s.is == (announce.State{}) && e.Kind != events.Announce; unwanted != strings.Contains(e.Text, "not to be announced any more") {
			t.Errorf("step %d: %q", i, e.Text) // that a rival is gone is not known of an address that nobody wants
		}
	}
}

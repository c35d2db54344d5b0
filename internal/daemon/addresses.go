package daemon

import (
	"net/netip"
	"sync/atomic"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/announce"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
)

// addresses are the services', as far as they are to be announced: while the workers serve,
// and not a moment longer, since the kernel answers with resets for what it gets then.
type addresses struct {
	announcer *announce.Announcer
	serving   atomic.Bool
}

// openAddresses also takes away what a process before has left.
func (d *daemon) openAddresses(loads *balancer.Loads) (err error) {
	d.addresses.announcer, err = announce.Open(announce.Options{
		Ports: d.names, Tell: d.tellAddress,
		Wants: func() map[netip.Addr]balancer.Announce {
			if !d.addresses.serving.Load() {
				return nil
			}
			return announced(d.control.View(), loads)
		},
	})
	return doctor.AsMachine(err)
}

// serveAddresses has addresses announced from now on, or not any more.
func (d *daemon) serveAddresses(yes bool) {
	d.addresses.serving.Store(yes)
	d.addresses.announcer.Look()
	d.addresses.announcer.Kick()
}

// announced returns the addresses of which some service says that they are to be, and some has
// somebody who serves: a backend in rotation, or one that drains and has connections left, which
// would end with the address.
func announced(v *control.View, loads *balancer.Loads) map[netip.Addr]balancer.Announce {
	hows, wants := map[netip.Addr]balancer.Announce{}, map[netip.Addr]balancer.Announce{}
	for i := range v.Services {
		if s := v.Services[i].Spec; s.Announce != balancer.AnnounceNone {
			hows[s.Address] = s.Announce
		}
	}
	for i := range v.Services {
		s := &v.Services[i]
		if how, ok := hows[s.Spec.Address]; ok && (s.Up > 0 || finishes(v, i, loads)) {
			wants[s.Spec.Address] = how
		}
	}
	return wants
}

// finishes reports whether a backend of service i drains and has connections left.
func finishes(v *control.View, i int, loads *balancer.Loads) bool {
	for j, b := range v.Services[i].Backends {
		if b.State == control.BackendDrain && v.Table != nil && loads.Live(v.Table.Services[i].Backends[j]) > 0 {
			return true
		}
	}
	return false
}

// tellAddress tells of what has become of an address.
func (d *daemon) tellAddress(a netip.Addr, was, is announce.State) {
	record := func(kind events.Kind, over bool, severity events.Severity, text, reason string) {
		device := is.Device
		if device == "" {
			device = was.Device
		}
		d.events.Record(events.Event{Kind: kind, Over: over, Severity: severity, Address: a.String(), Interface: device, Text: text, Reason: reason})
	}
	over := func(text string) string {
		if is == (announce.State{}) { // which says nothing of how it is
			return "over: the address is not to be announced any more"
		}
		return text
	}
	switch {
	case is.Held && !was.Held:
		record(events.Announce, false, events.Info, "the address is announced", is.How.String())
	case was.Held && !is.Held:
		record(events.Announce, true, events.Info, "the address is not announced any more", was.How.String())
	}
	switch {
	case is.Problem == was.Problem:
	case is.Problem != "":
		record(events.AnnounceFailed, false, events.Warning, "the address can't be announced", is.Problem)
	default:
		record(events.AnnounceFailed, true, events.Info, over("over: the address can't be announced"), was.Problem)
	}
	switch {
	case is.Conflict == was.Conflict:
	case is.Conflict != "" && is.Held:
		record(events.AddressConflict, false, events.Warning, "another machine says that it has the address too: take it away from one of them", "MAC address "+is.Conflict)
	case is.Conflict != "":
		record(events.AddressConflict, false, events.Warning, "another machine has the address, which is not announced for that", "MAC address "+is.Conflict)
	default:
		record(events.AddressConflict, true, events.Info, over("over: no other machine says that it has the address"), "MAC address "+was.Conflict)
	}
}

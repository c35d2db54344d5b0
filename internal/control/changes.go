package control

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// Changes returns the difference of two Views: each change of state once, in the
// order of the new one's services.
func Changes(old, v *View) (list []events.Event) {
	list = append(list, linkChange(old, v)...)
	list = append(list, portChanges(old, v)...)
	list = append(list, failureChange(old.Failure, v.Failure)...)
	list = append(list, troubleChanges(old.Troubles, v.Troubles)...)
	list = append(list, foreignChanges(old.Foreign, v.Foreign)...)
	before := index(old, v)
	for i := range v.Services {
		s := &v.Services[i]
		was := before(i)
		for j := range s.Backends {
			b := &s.Backends[j]
			state := BackendWarming
			if w := was.backend(j, b.Key); w != nil {
				state = w.State
				if w.State == b.State && w.Reason == b.Reason {
					continue
				}
			}
			if e, ok := backendChange(state, b); ok {
				e.Service, e.Backend, e.Address = s.Spec.Name, b.Name, Address(b.Key)
				list = append(list, e)
			}
		}
		if e, ok := serviceChange(was, s); ok {
			list = append(list, e)
		}
		list = append(list, fallbackChange(was, s)...)
	}
	return list
}

// backend returns what the View before said of a backend that is at index j now.
func (s *ServiceView) backend(j int, k balancer.BackendKey) *BackendView {
	if s == nil {
		return nil
	}
	if j < len(s.Backends) && s.Backends[j].Key == k {
		return &s.Backends[j]
	}
	for i := range s.Backends {
		if s.Backends[i].Key == k {
			return &s.Backends[i]
		}
	}
	return nil
}

// index returns a function that finds in old the service that is at an index of v; nil
// if it was not there.
func index(old, v *View) func(i int) *ServiceView {
	if old.Spec == v.Spec && len(old.Services) == len(v.Services) {
		return func(i int) *ServiceView { return &old.Services[i] }
	}
	byKey := map[balancer.ServiceKey]*ServiceView{}
	for i := range old.Services {
		byKey[old.Services[i].Spec.Key()] = &old.Services[i]
	}
	return func(i int) *ServiceView { return byKey[v.Services[i].Spec.Key()] }
}

func linkChange(old, v *View) []events.Event {
	switch {
	case old.Link.Up && !v.Link.Up:
		return []events.Event{{Kind: events.Link, Severity: events.Warning, Text: "the link is down; what is known of the backends stays", Reason: v.Link.Why}}
	case !old.Link.Up && v.Link.Up:
		return []events.Event{{Kind: events.Link, Over: true, Severity: events.Warning, Text: "the link is up; all backends are probed"}}
	}
	return nil
}

// portChanges tells what has become of each port, and of one alone nothing that the link's
// change tells.
func portChanges(old, v *View) (list []events.Event) {
	if len(old.Ports) != len(v.Ports) {
		return nil
	}
	for i := range v.Ports {
		was, is := &old.Ports[i], &v.Ports[i]
		if was.Name != is.Name { // a number that is another one's now
			continue
		}
		switch {
		case len(v.Ports) == 1 || was.Up == is.Up || !old.Link.Up || !v.Link.Up:
		case is.Up:
			list = append(list, events.Event{Kind: events.Port, Over: true, Severity: events.Warning, Interface: is.Name, Text: "a port is up again"})
		default:
			list = append(list, events.Event{
				Kind: events.Port, Severity: events.Warning, Interface: is.Name, Reason: is.Why,
				Text: "a port is down; what is behind it is reached by others, or not at all",
			})
		}
		list = append(list, macChange(is.Name, was.MAC, is.MAC)...)
	}
	return list
}

// macChange tells of another card, or of an interface that was made again: who is on the
// link knows the old address, and the kernel announces another one only if it is told to
// (inetdev_event in net/ipv4/devinet.c, ndisc_netdev_event in net/ipv6/ndisc.c).
func macChange(name string, was, is [6]byte) []events.Event {
	if was == is || was == [6]byte{} {
		return nil
	}
	return []events.Event{{
		Kind: events.MAC, Severity: events.Warning, Interface: name,
		Text: "the interface has another MAC address, and its neighbours send to the old one until they ask again; " +
			"the kernel can tell them (sysctls arp_notify and ndisc_notify)",
		Reason: fmt.Sprintf("it was %v, and is %v", net.HardwareAddr(was[:]), net.HardwareAddr(is[:])),
	}}
}

// backendChange says what a change of a backend's state means. What is only not known
// yet is no news.
func backendChange(was string, b *BackendView) (e events.Event, ok bool) {
	e.Severity, e.Reason = events.Warning, b.Reason
	switch b.State {
	case BackendUp:
		e.Kind, e.Severity, e.Text = events.BackendUp, events.Info, "backend is up"
		switch was {
		case BackendUp:
			return e, false
		case BackendDrain:
			e.Text = "backend is up: it gets new flows again"
		case BackendUnreachable:
			e.Severity, e.Text = events.Warning, "backend is up: it can be reached again"
		}
		if b.Share > 0 && b.Share < 100 {
			e.Reason = "its share of new flows grows by and by: slow-start"
		}
	case BackendDrain:
		if was == BackendDrain {
			return e, false
		}
		e.Kind, e.Severity, e.Text = events.BackendDrain, events.Info, "backend drains: it keeps its flows, and gets no new ones"
	case BackendDisabled:
		e.Kind, e.Severity, e.Text = events.BackendDisabled, events.Info, "backend is disabled: it is as if it were not there"
	case BackendDown:
		e.Kind, e.Text, e.Reason = events.BackendDown, "backend is down", b.Check
	case BackendUnreachable:
		e.Kind, e.Text = events.BackendUnreachable, "backend is unreachable"
	default:
		if was != BackendUnreachable {
			return e, false
		}
		e.Kind, e.Text = events.BackendWarming, "backend can be reached again"
	}
	return e, true
}

// serviceChange tells of a service that has nobody in rotation, as soon as that is
// known, and of its recovery.
func serviceChange(was, s *ServiceView) (e events.Event, ok bool) {
	e = events.Event{Kind: events.NoBackend, Severity: events.Warning, Service: s.Spec.Name, Address: s.Spec.Key().String()}
	switch lost := was != nil && was.Lost; {
	case s.Lost && !lost:
		e.Text = "service has no backend in rotation"
	case lost && !s.Lost:
		e.Over, e.Text = true, "service has a backend in rotation again"
	default:
		return e, false
	}
	return e, true
}

// Texts of what goes wrong in the balancer itself.
const (
	notInForce = "the table is not what it should be; it is tried again"
	cannotAsk  = "probes fail for a reason of this machine's own, and are no verdict about any backend"
)

// failureChange tells of what is desired and not in force.
func failureChange(was, is error) []events.Event {
	switch {
	case is != nil && (was == nil || was.Error() != is.Error()):
		return []events.Event{{Kind: events.Commit, Severity: events.Error, Text: notInForce, Reason: is.Error()}}
	case is == nil && was != nil:
		return []events.Event{{Kind: events.Commit, Over: true, Severity: events.Warning, Text: "over: " + notInForce}}
	}
	return nil
}

// troubleChanges tells of each cause that has come or gone.
func troubleChanges(was, is []Trouble) (list []events.Event) {
	same := func(t Trouble) func(Trouble) bool { return func(o Trouble) bool { return o.Cause == t.Cause } }
	for _, t := range is {
		if !slices.ContainsFunc(was, same(t)) {
			list = append(list, events.Event{Kind: events.Probes, Severity: events.Error, Text: cannotAsk, Reason: t.Text})
		}
	}
	for _, t := range was {
		if !slices.ContainsFunc(is, same(t)) {
			list = append(list, events.Event{Kind: events.Probes, Over: true, Severity: events.Warning, Text: "over: " + cannotAsk, Reason: t.Cause})
		}
	}
	return list
}

// Address says where a backend is, as in 10.0.0.11:8080; without a port, if that is the one that
// the client asked for.
func Address(k balancer.BackendKey) string {
	if k.Port == 0 {
		return k.Address.String()
	}
	return netip.AddrPortFrom(k.Address, k.Port).String()
}

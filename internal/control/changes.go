package control

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/balancer"
)

// Change is one thing that is different in a [View] from the one before.
type Change struct {
	Level            zapcore.Level
	Text             string
	Service, Backend string // names; empty: it is not about one
	Address          string
	Reason           string
}

// Changes returns the difference of two Views: each change of state once, in the
// order of the new one's services.
func Changes(old, v *View) (list []Change) {
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
			if c, ok := backendChange(state, b); ok {
				c.Service, c.Backend, c.Address = s.Spec.Name, b.Name, address(b.Key)
				list = append(list, c)
			}
		}
		if c, ok := serviceChange(was, s); ok {
			list = append(list, c)
		}
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

func linkChange(old, v *View) []Change {
	switch {
	case old.Link.Up && !v.Link.Up:
		return []Change{{Level: zap.WarnLevel, Text: "the link is down; what is known of the backends stays", Reason: v.Link.Why}}
	case !old.Link.Up && v.Link.Up:
		return []Change{{Level: zap.WarnLevel, Text: "the link is up; all backends are probed"}}
	}
	return nil
}

// portChanges tells what has become of each port, and of one alone nothing that the link's
// change tells.
func portChanges(old, v *View) (list []Change) {
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
			list = append(list, Change{Level: zap.WarnLevel, Text: "a port is up again", Reason: is.Name})
		default:
			list = append(list, Change{Level: zap.WarnLevel, Text: "a port is down; what is behind it is reached by others, or not at all", Reason: is.Name + ": " + is.Why})
		}
		list = append(list, macChange(is.Name, was.MAC, is.MAC)...)
	}
	return list
}

// macChange tells of another card, or of an interface that was made again: who is on the
// link knows the old address, and the kernel announces another one only if it is told to
// (inetdev_event in net/ipv4/devinet.c, ndisc_netdev_event in net/ipv6/ndisc.c).
func macChange(name string, was, is [6]byte) []Change {
	if was == is || was == [6]byte{} {
		return nil
	}
	return []Change{{
		Level: zap.WarnLevel,
		Text: "the interface has another MAC address, and its neighbours send to the old one until they ask again; " +
			"the kernel can tell them (sysctls arp_notify and ndisc_notify)",
		Reason: fmt.Sprintf("that of %s was %v, and is %v", name, net.HardwareAddr(was[:]), net.HardwareAddr(is[:])),
	}}
}

// backendChange says what a change of a backend's state means. What is only not known
// yet is no news.
func backendChange(was string, b *BackendView) (c Change, ok bool) {
	c.Reason = b.Reason
	switch b.State {
	case BackendUp, BackendDrain:
		switch was {
		case BackendUp, BackendDrain:
			return c, false
		case BackendUnreachable:
			c.Level, c.Text = zap.WarnLevel, "backend is up: it can be reached again"
		default:
			c.Level, c.Text = zap.InfoLevel, "backend is up"
		}
	case BackendDown:
		c.Level, c.Text, c.Reason = zap.WarnLevel, "backend is down", b.Check
	case BackendUnreachable:
		c.Level, c.Text = zap.WarnLevel, "backend is unreachable"
	default:
		if was != BackendUnreachable {
			return c, false
		}
		c.Level, c.Text = zap.WarnLevel, "backend can be reached again"
	}
	return c, true
}

// serviceChange tells of a service that has nobody in rotation, as soon as that is
// known, and of its recovery.
func serviceChange(was, s *ServiceView) (c Change, ok bool) {
	c = Change{Level: zap.WarnLevel, Service: s.Spec.Name, Address: s.Spec.Key().String()}
	switch lost := was != nil && was.Lost; {
	case s.Lost && !lost:
		c.Text = "service has no backend in rotation"
	case lost && !s.Lost:
		c.Text = "service has a backend in rotation again"
	default:
		return c, false
	}
	return c, true
}

// Texts of what goes wrong in the balancer itself.
const (
	notInForce = "the table is not what it should be; it is tried again"
	cannotAsk  = "probes fail for a reason of this machine's own, and are no verdict about any backend"
)

// failureChange tells of what is desired and not in force.
func failureChange(was, is error) []Change {
	switch {
	case is != nil && (was == nil || was.Error() != is.Error()):
		return []Change{{Level: zap.ErrorLevel, Text: notInForce, Reason: is.Error()}}
	case is == nil && was != nil:
		return []Change{{Level: zap.WarnLevel, Text: "over: " + notInForce}}
	}
	return nil
}

// troubleChanges tells of each cause that has come or gone.
func troubleChanges(was, is []Trouble) (list []Change) {
	same := func(t Trouble) func(Trouble) bool { return func(o Trouble) bool { return o.Cause == t.Cause } }
	for _, t := range is {
		if !slices.ContainsFunc(was, same(t)) {
			list = append(list, Change{Level: zap.ErrorLevel, Text: cannotAsk, Reason: t.Text})
		}
	}
	for _, t := range was {
		if !slices.ContainsFunc(is, same(t)) {
			list = append(list, Change{Level: zap.WarnLevel, Text: "over: " + cannotAsk, Reason: t.Cause})
		}
	}
	return list
}

func address(k balancer.BackendKey) string {
	if k.Port == 0 {
		return k.Address.String()
	}
	return netip.AddrPortFrom(k.Address, k.Port).String()
}

// tell writes changes to the log.
func (r *Reconciler) tell(list []Change) {
	for _, c := range list {
		fields := []zap.Field{}
		for _, f := range []struct{ name, value string }{
			{"service", c.Service}, {"backend", c.Backend}, {"address", c.Address}, {"reason", c.Reason},
		} {
			if f.value != "" {
				fields = append(fields, zap.String(f.name, f.value))
			}
		}
		r.log.Log(c.Level, c.Text, fields...)
	}
}

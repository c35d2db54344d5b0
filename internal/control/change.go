package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// The actions of a [Change].
const (
	Drain   = "drain"   // no new flows; those that it has go on
	Disable = "disable" // as if it were not there
	Enable  = "enable"  // no drain and no disabled any more
	Reweigh = "weight"  // another weight, or the file's again
)

// Change is what an operator wants of one backend.
type Change struct {
	Service  string
	Backend  string // its name, its address:port, or its address if no other one has that
	Action   string
	Weight   *uint16 // of Reweigh; nil: the file's
	Volatile bool    // not kept over a restart
}

// Changed is what came of a Change.
type Changed struct {
	Service, Backend, Address string
	Old, New                  BackendView
	Generation                uint64
	Slots, Moved              int      // of the service's consistent hash, if its algorithm goes by it
	Warnings                  []string // what the operator may not have expected
}

// ErrUnknown says that there is no such service or backend.
var ErrUnknown = errors.New("not known")

// Change changes one backend, and returns when that is in force. On an error everything is
// as it was.
func (r *Reconciler) Change(ctx context.Context, c Change) (done Changed, err error) {
	err = r.ask(ctx, func() error {
		done, err = r.change(&c)
		return err
	})
	return done, err
}

func (r *Reconciler) change(c *Change) (done Changed, err error) {
	i, j, err := find(r.spec, c.Service, c.Backend)
	if err != nil {
		return done, err
	}
	s := &r.spec.Services[i]
	b := &s.Backends[j]
	key := s.BackendKey(b)
	was, o := r.observed.overrides, r.observed.overrides[key] // only this goroutine writes them
	next := Override{Setting: o.Setting, Lasting: o.Lasting, Filed: filed(b)}
	c.apply(&next.Setting, b)
	if !c.Volatile {
		c.apply(&next.Lasting, b)
	}
	same := next.Setting == o.Setting && next.Lasting == o.Lasting
	before := r.View()
	changed, err := r.adopt(r.spec, was.with(key, next))
	if err != nil {
		if !errors.Is(err, ErrCommit) {
			return done, err
		}
		done.Warnings = append(done.Warnings, err.Error()+"; it is tried again")
	}
	v := r.View()
	done.Service, done.Backend, done.Address = s.Name, b.Name, Address(key)
	done.Generation, done.Old, done.New = v.Generation(), before.shownBackend(i, j), v.shownBackend(i, j)
	if i < len(changed.Services) { // else nothing has
		done.Moved, done.Slots = changed.Services[i].Moved, changed.Services[i].Slots
	}
	done.Warnings = append(done.Warnings, c.surprises(&next, b, &before.Services[i], &v.Services[i], same)...)
	if !same {
		r.events.Record(events.Event{
			Kind: events.Override, Over: next.Setting == Setting{}, Severity: events.Info, Service: s.Name, Backend: b.Name, Address: done.Address,
			Text: "an operator has changed the backend: " + Transition(&done.Old, &done.New),
		})
	}
	return done, nil
}

// shownBackend returns a backend of service i with the state that is to be told.
func (v *View) shownBackend(i, j int) BackendView {
	b := v.Services[i].Backends[j]
	b.State, b.Reason, b.Since = v.Shown(&b)
	return b
}

// apply changes s, a setting of b, as the change wants it.
func (c *Change) apply(s *Setting, b *balancer.BackendSpec) {
	switch c.Action {
	case Drain:
		s.State = BackendDrain
	case Disable:
		s.State = BackendDisabled
	case Enable:
		s.State = ""
	case Reweigh:
		s.Weighted, s.Weight = false, 0
		if c.Weight != nil && *c.Weight != b.Weight { // else it is the file's
			s.Weighted, s.Weight = true, *c.Weight
		}
	}
}

// surprises are what the operator may not have expected of the change, which has given b
// this setting, and made s of what its service was.
func (c *Change) surprises(now *Override, b *balancer.BackendSpec, was, s *ServiceView, same bool) (list []string) {
	if same {
		list = append(list, "it was so already")
	}
	switch out := now.weight(b) == 0; {
	case c.Action == Enable && out:
		list = append(list, "it drains all the same, for its weight is 0; afxlb backend weight gives it another")
	case out && s.Up == 0:
		list = append(list, fmt.Sprintf("service %s has no backend in rotation: its new flows meet on-no-backend: %v", s.Spec.Name, s.Spec.OnNoBackend))
	}
	if f, ok := fallbacks[s.Fallback]; ok && s.Fallback != was.Fallback {
		list = append(list, fmt.Sprintf("service %s: %s", s.Spec.Name, f.text))
	}
	if c.Volatile && now.Lasting != (Setting{}) && now.Lasting != now.Setting {
		list = append(list, fmt.Sprintf("after a restart it is %v again", now.Lasting))
	}
	if c.Action == Reweigh && now.State != "" {
		list = append(list, fmt.Sprintf("its state is %s: the weight counts once it is enabled", now.State))
	}
	return list
}

// Transition says how a backend was and how it is: "up, weight 3 → drain, weight 0".
func Transition(old, now *BackendView) string { return standing(old) + " → " + standing(now) }

// standing says how a backend takes part, and with what weight it would if it did.
func standing(b *BackendView) string {
	text := fmt.Sprintf("%s, weight %d", b.State, b.Weight)
	if o := &b.Override; o.State != "" && o.Weighted {
		text += fmt.Sprintf(" (%d once it is enabled)", o.Weight)
	}
	return text
}

// find returns the indices of a service and of its backend.
func find(spec *balancer.Spec, service, backend string) (i, j int, err error) {
	i = slices.IndexFunc(spec.Services, func(s balancer.ServiceSpec) bool { return s.Name == service })
	if i < 0 {
		return 0, 0, unknown("service", service, spec.Services, func(s *balancer.ServiceSpec) string { return s.Name })
	}
	s := &spec.Services[i]
	var found []int
	for j := range s.Backends {
		b := &s.Backends[j]
		if b.Name == backend {
			return i, j, nil
		}
		if key := s.BackendKey(b); isAt(key, backend) {
			found = append(found, j)
		}
	}
	switch len(found) {
	case 1:
		return i, found[0], nil
	case 0:
		return 0, 0, unknown("backend", backend, s.Backends, func(b *balancer.BackendSpec) string { return b.Name })
	}
	var ports []string
	for _, j := range found {
		ports = append(ports, Address(s.BackendKey(&s.Backends[j])))
	}
	return 0, 0, fmt.Errorf("backend %q of service %q is one of several, and which of them is %w: name it as one of %s", backend, service, ErrUnknown, strings.Join(ports, ", "))
}

// unknown says that there is none of a name, and which there are.
func unknown[T any](kind, name string, list []T, called func(*T) string) error {
	const few = 10
	var names []string
	for i := range list[:min(len(list), few)] {
		names = append(names, called(&list[i]))
	}
	if more := len(list) - few; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s %q is %w; there are: %s", kind, name, ErrUnknown, cmp.Or(strings.Join(names, ", "), "none"))
}

// isAt reports whether what a person writes is the backend's address, with its port or without.
func isAt(key balancer.BackendKey, written string) bool {
	if at, err := netip.ParseAddrPort(written); err == nil {
		return at == netip.AddrPortFrom(key.Address, key.Port)
	}
	a, err := netip.ParseAddr(strings.Trim(written, "[]"))
	return err == nil && a == key.Address
}

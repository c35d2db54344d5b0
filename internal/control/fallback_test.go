package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// fourSpec is a service of a, b and c, and of s, which is backup, probed each second.
func fourSpec(m balancer.MinHealthy, below balancer.BelowMinHealthy) balancer.Spec {
	spec := webSpec()
	web := &spec.Services[0]
	web.Health.Interval, web.Health.Rise, web.Health.Fall = time.Second, 1, 1
	web.MinHealthy, web.BelowMin, web.DrainTime = m, below, time.Minute
	web.Backends = nil
	for i, name := range []string{"a", "b", "c", "s"} {
		web.Backends = append(web.Backends, balancer.BackendSpec{Name: name, Address: addr(fmt.Sprintf("10.0.0.%d", 11+i)), Port: 80, Weight: 1, Backup: name == "s"})
	}
	return spec
}

// address returns the addresses of backends of fourSpec.
func addressesOf(names string) (list []string) {
	for _, name := range names {
		list = append(list, fmt.Sprintf("10.0.0.%d", 11+strings.IndexRune("abcs", name)))
	}
	return list
}

// rotation names who takes new flows, by the table and by the View, which must agree.
func (r *rig) rotation() string {
	r.t.Helper()
	table, list := r.kernel.table(), ""
	for _, id := range table.Services[0].Eligible() {
		list += table.Refs[id].Backend
	}
	v, shown := &r.View().Services[0], ""
	for i := range v.Backends {
		if v.Backends[i].Share > 0 {
			shown += v.Backends[i].Name
		}
	}
	if shown != list || v.Up != len(list) {
		r.t.Errorf("in rotation are %q by the table, and %q, %d, by the View", list, shown, v.Up)
	}
	return list
}

func TestFallback(t *testing.T) {
	none, two, half := balancer.MinHealthy{}, balancer.MinHealthy{Count: 2}, balancer.MinHealthy{Percent: 50}
	for name, c := range map[string]struct {
		min   balancer.MinHealthy
		below balancer.BelowMinHealthy
		// Who is in rotation, and what the service falls back on, while these are dead.
		want map[string]string
	}{
		"backup alone": {none, 0, map[string]string{
			"": "abc ", "a": "bc ", "ab": "c ", "abc": "s backup", "abcs": " ", "s": "abc ", "as": "bc ",
		}},
		"panic": {half, balancer.Panic, map[string]string{
			"": "abc ", "a": "bc ", "ab": "abc panic", "abs": "abc panic", "abc": "s backup", "abcs": "abc panic",
		}},
		"join": {two, balancer.JoinBackup, map[string]string{
			"": "abc ", "a": "bc ", "ab": "cs backup", "abs": "c ", "abc": "s backup", "abcs": " ",
		}},
		"down": {two, balancer.TakeDown, map[string]string{
			"": "abc ", "a": "bc ", "ab": " down", "abc": " down", "abcs": " down", "s": "abc ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newWire(addressesOf("abcs")...), fourSpec(c.min, c.below))
				for dead, want := range c.want {
					r.wire.answer(nil, addressesOf("abcs")...)
					after(5 * time.Second)
					if got := r.rotation(); got != "abc" {
						t.Fatalf("all are well: %q", got)
					}
					r.wire.answer(errRefused, addressesOf(dead)...)
					after(5 * time.Second)
					if got := r.rotation() + " " + r.View().Services[0].Fallback; got != want {
						t.Errorf("without %q: in rotation and fallback are %q, want %q", dead, got, want)
					}
				}
			})
		})
	}
}

// What is not known yet is no reason for anything: not at the start, however late the answers
// are, and not when a backend is new.
func TestNoFallbackOnWhatIsUnknown(t *testing.T) {
	for _, below := range []balancer.BelowMinHealthy{balancer.Panic, balancer.JoinBackup, balancer.TakeDown} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(addressesOf("abcs")...)
			for _, a := range addressesOf("abc") {
				delete(w.answers, addr(a)) // silence
			}
			r := start(t, w, fourSpec(balancer.MinHealthy{Count: 2}, below))
			after(500 * time.Millisecond) // s has answered
			if got := r.rotation() + r.View().Services[0].Fallback; got != "" {
				t.Errorf("%v: before an answer %q", below, got)
			}
			r.wire.answer(nil, addressesOf("abc")...)
			after(3 * time.Second)
			if got := r.rotation() + r.View().Services[0].Fallback; got != "abc" {
				t.Errorf("%v: then %q", below, got)
			}
			if told := slices.Concat(r.told(events.Backup), r.told(events.Panic), r.told(events.BelowMinHealthy)); told != nil {
				t.Errorf("%v: told %q", below, told)
			}
		})
	}
}

// One that is new, or enabled again, takes nobody's place before it has answered: not a backup's,
// nor those of backends in panic.
func TestUnknownEndsNoFallback(t *testing.T) {
	for name, c := range map[string]struct {
		min   balancer.MinHealthy
		dead  string
		while string // in rotation, and fallback, as long as a is not known
		then  string // a has answered
	}{
		"backup": {balancer.MinHealthy{}, "bc", "sbackup", "a"},
		"panic":  {balancer.MinHealthy{Count: 1}, "bcs", "bcpanic", "a"},
	} {
		for how, again := range map[string]func(*rig){
			"enabled": func(r *rig) { r.mustChange(Enable) },
			"new":     func(r *rig) { r.must(r.Reload(r.t.Context(), fourSpec(c.min, balancer.Panic))) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					spec := fourSpec(c.min, balancer.Panic)
					if how == "new" {
						spec.Services[0].Backends = spec.Services[0].Backends[1:]
					}
					w := newWire(addressesOf("abcs")...)
					r := start(t, w, spec)
					after(time.Second)
					if how == "enabled" {
						r.mustChange(Disable)
					}
					w.answer(errRefused, addressesOf(c.dead)...)
					w.silence(addressesOf("a")...)
					after(3 * time.Second)
					if got := r.rotation() + r.View().Services[0].Fallback; got != c.while {
						t.Fatalf("without a: %q, want %q", got, c.while)
					}
					again(r)
					for range 5 {
						if got := r.rotation() + r.View().Services[0].Fallback; got != c.while {
							t.Fatalf("a is not known yet: %q, want %q", got, c.while)
						}
						after(100 * time.Millisecond)
					}
					w.answer(nil, addressesOf("a")...)
					after(3 * time.Second)
					if got := r.rotation() + r.View().Services[0].Fallback; got != c.then {
						t.Errorf("a has answered: %q, want %q", got, c.then)
					}
				})
			})
		}
	}
}

// A backup takes over, is told to, and gives back: its TCP flows go on, and those of UDP when
// the time to drain is over.
func TestBackupGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire(addressesOf("abcs")...), fourSpec(balancer.MinHealthy{}, 0))
		after(time.Second)
		r.wire.answer(errRefused, addressesOf("abc")...)
		after(3 * time.Second)
		r.wire.answer(nil, addressesOf("b")...)
		after(3 * time.Second)
		if got := r.rotation(); got != "b" {
			t.Errorf("in rotation are %q", got)
		}
		if f := r.flags("web", "s"); f&balancer.Usable == 0 || f&balancer.Drained != 0 {
			t.Errorf("a backup that was in use has flags %b", f)
		}
		after(time.Minute)
		if f := r.flags("web", "s"); f&balancer.Drained == 0 {
			t.Errorf("a minute later it has flags %b", f)
		}
		r.expect("idle", map[string]string{"web/s": "up"})
		want := []string{"backup", "backup over"}
		if got := r.told(events.Backup); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// told lists the events of a kind.
func (r *rig) told(kind events.Kind) (list []string) {
	all, _, _ := r.events.After(0)
	for _, e := range all {
		if e.Kind != kind {
			continue
		}
		text := string(kind)
		if e.Over {
			text += " over"
		}
		list = append(list, text)
	}
	return list
}

// To drain or disable a backend is no reason to panic or to take the service down, however many
// min-healthy asks for; backups join. Of those that are left all have to be healthy.
func TestDrainedAreNotMissing(t *testing.T) {
	for below, want := range map[balancer.BelowMinHealthy]struct{ drained, dead string }{
		balancer.Panic:      {"bc", "bcpanic"},
		balancer.JoinBackup: {"bcsbackup", "csbackup"},
		balancer.TakeDown:   {"bc", "down"},
	} {
		for _, action := range []string{Drain, Disable} {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newWire(addressesOf("abcs")...), fourSpec(balancer.MinHealthy{Count: 3}, below))
				after(time.Second)
				r.mustChange(action)
				after(2 * time.Second)
				if got := r.rotation() + r.View().Services[0].Fallback; got != want.drained {
					t.Errorf("%v, without a by %s: %q, want %q", below, action, got, want.drained)
				}
				r.wire.answer(errRefused, addressesOf("b")...)
				after(2 * time.Second)
				if got := r.rotation() + r.View().Services[0].Fallback; got != want.dead {
					t.Errorf("%v, without a by %s, and b dead: %q, want %q", below, action, got, want.dead)
				}
				r.mustChange(Enable)
				r.wire.answer(nil, addressesOf("b")...)
				after(2 * time.Second)
				if got := r.rotation() + r.View().Services[0].Fallback; got != "abc" {
					t.Errorf("%v: all are well again: %q", below, got)
				}
			})
		}
	}
}

// Backends without a nominal weight are none of those that min-healthy counts, and panic
// brings none of them back.
func TestDrainedDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := fourSpec(balancer.MinHealthy{Percent: 60}, balancer.Panic)
		spec.Services[0].Backends[0].Weight = 0
		r := start(t, newWire(addressesOf("abcs")...), spec)
		after(time.Second)
		r.wire.answer(errRefused, addressesOf("a")...)
		after(2 * time.Second)
		if got := r.rotation() + r.View().Services[0].Fallback; got != "bc" {
			t.Errorf("two of two are well: %q", got)
		}
		r.wire.answer(errRefused, addressesOf("b")...)
		after(2 * time.Second)
		if got := r.rotation() + r.View().Services[0].Fallback; got != "bcpanic" {
			t.Errorf("one of two is well: %q", got)
		}
		r.expect("in panic", map[string]string{"web/b": "down", "web/c": "up"})
	})
}

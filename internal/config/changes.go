package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// Change is a key that two configs have different values of. It compares what the files
// mean: a default that is written out, or the one interface in a list, is no change.
type Change struct {
	Key      string // as in conntrack.timeouts.icmp
	Old, New string // as a file has them; empty: nothing
	Restart  bool   // a reload does not apply it
}

// Changes returns in which keys c differs from the config that was, in the order of the
// file's documentation. Services are not among them: which of two files are the same is for
// their identity to say, and then [ServiceChanges] and [BackendChanges] tell.
//
// Which queues `all` stands for is for the interface to say, so `all` and the same queues
// by number differ.
func (c *Config) Changes(was *Config) []Change { return changes(topKeys, was, c) }

// ServiceChanges returns in which keys of its own, its backends aside, a service differs
// from what it was.
func ServiceChanges(was, is *balancer.ServiceSpec) []Change { return changes(serviceKeys, was, is) }

// BackendChanges returns in which keys a backend differs from what it was.
func BackendChanges(was, is *balancer.BackendSpec) []Change { return changes(backendKeys, was, is) }

func changes[T any](known keys[T], was, is *T) (list []Change) {
	known.diff(was, is, "", func(c Change) { list = append(list, c) })
	return list
}

// differ tells of each key, at which the two stand or below, that they differ in.
type differ[T any] func(was, is *T, at string, found func(Change))

// diff tells two mappings apart, key by key.
func (ks keys[T]) diff(was, is *T, at string, found func(Change)) {
	for _, k := range ks {
		if k.form.diff != nil {
			k.form.diff(was, is, strings.TrimPrefix(at+"."+k.name, "."), func(c Change) {
				c.Restart = c.Restart || k.restart
				found(c)
			})
		}
	}
}

// partly tells two apart by a part of theirs.
func partly[T, P any](part func(*T) *P, diff differ[P]) differ[T] {
	if diff == nil {
		return nil
	}
	return func(was, is *T, at string, found func(Change)) { diff(part(was), part(is), at, found) }
}

// whole tells two values apart by what they are in a file.
func whole[T any](show func(T) string) differ[T] {
	return func(was, is *T, at string, found func(Change)) {
		if a, b := show(*was), show(*is); a != b {
			found(Change{Key: at, Old: a, New: b})
		}
	}
}

// shown is the form with another way to show its values than their own.
func (f form[T]) shown(show func(T) string) form[T] {
	f.diff = whole(show)
	return f
}

// orNone is the form with nothing shown of the zero value, which stands for what is not given.
func (f form[T]) orNone() form[T] {
	return f.shown(func(v T) string {
		if reflect.ValueOf(&v).Elem().IsZero() {
			return ""
		}
		return show(v)
	})
}

// show returns a value as a file has it; empty: it is not given. Two that differ have
// different texts.
func show[T any](v T) string {
	at := reflect.ValueOf(&v).Elem()
	if _, own := any(&v).(fmt.Stringer); at.Kind() != reflect.Slice || own {
		return showOne(at)
	}
	parts := make([]string, at.Len())
	for i := range parts {
		parts[i] = showOne(at.Index(i))
	}
	return strings.Join(parts, ", ")
}

// showOne shows what is no list. The value can be addressed.
func showOne(at reflect.Value) string {
	switch v := at.Addr().Interface().(type) {
	case *time.Duration:
		return brief(*v)
	case *balancer.Ports:
		return fmt.Sprintf("%d-%d", v.First, v.Last)
	case *balancer.StatusRange:
		if v.First == v.Last {
			return fmt.Sprint(v.First)
		}
		return fmt.Sprintf("%d-%d", v.First, v.Last)
	case fmt.Stringer: // also with the method of the value
		return v.String()
	}
	return fmt.Sprint(at.Interface())
}

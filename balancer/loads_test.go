package balancer

import (
	"reflect"
	"sync"
	"testing"
)

func TestLoadsConcurrently(t *testing.T) {
	l := NewLoads()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 1000 {
				l.AddFlows(3, 1)
				l.AddLive(3, 2)
				l.AddLive(3, -1)
				l.AddFlows(MaxBackends-1, 1)
				l.Refuse(3)
				l.SetHandicap(4, 1)
				l.SetHandicap(4, 0)
				l.SetHandicap(5, 7)
				l.Accept(3)
				l.Refuse(MaxBackends - 1)
			}
		})
	}
	workers.Wait()
	if n := l.restrained.Load(); n != 2 && n != 3 || (l.Refused(3) == 0) != (n == 2) { // of 5, the last, and maybe 3
		t.Errorf("%d are held back", n)
	}
	if l.Flows(3) != 4000 || l.Live(3) != 4000 || l.Flows(MaxBackends-1) != 4000 || l.Live(2)+l.Flows(2)+l.Live(4)+l.Flows(4) != 0 {
		t.Errorf("backend 3 has %d flows and %d live, the last has %d flows; want 4000 each and none at 3's neighbours",
			l.Flows(3), l.Live(3), l.Flows(MaxBackends-1))
	}
}

// It is known how many are held back, or one of them might not be, or all would be looked at
// for ever.
func TestRestrained(t *testing.T) {
	l := NewLoads()
	for _, step := range []struct {
		do   func()
		want int64
	}{
		{func() { l.SetHandicap(1, 0); l.Accept(1) }, 0},
		{func() { l.SetHandicap(1, 5) }, 1},
		{func() { l.SetHandicap(1, 4); l.Refuse(2); l.Refuse(2) }, 2},
		{func() { l.Refuse(1) }, 3},
		{func() { l.Accept(2); l.Accept(2) }, 2},
		{func() { l.SetHandicap(1, 0) }, 1},
		{func() { l.Accept(1) }, 0},
	} {
		if step.do(); l.restrained.Load() != step.want {
			t.Fatalf("%d are held back, want %d", l.restrained.Load(), step.want)
		}
	}
}

func TestLayout(t *testing.T) {
	if size := reflect.TypeFor[load]().Size(); size != 64 {
		t.Errorf("a load takes %d bytes, want a cache line of 64", size)
	}
	if size := reflect.TypeFor[Backend]().Size(); size > 64 {
		t.Errorf("a backend takes %d bytes, want a cache line of 64 at most", size)
	}
	if size := reflect.TypeFor[place]().Size(); size != 20 {
		t.Errorf("a place takes %d bytes, want 20: no padding", size)
	}
	for _, record := range []reflect.Type{reflect.TypeFor[Backend](), reflect.TypeFor[place](), reflect.TypeFor[portSpan]()} {
		if hasPointer(record) {
			t.Errorf("%v has a pointer for the garbage collector to follow", record)
		}
	}
}

func hasPointer(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return hasPointer(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			if hasPointer(field.Type) {
				return true
			}
		}
		return false
	default:
		return t.Kind() > reflect.Complex128
	}
}

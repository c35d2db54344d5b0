package conntrack

import (
	"reflect"
	"testing"
	"unsafe"
)

func TestFlowIsOneCacheLineWithoutPointers(t *testing.T) {
	if n := unsafe.Sizeof(Flow{}); n != 64 {
		t.Errorf("a Flow takes %d bytes, want 64", n)
	}
	if n := unsafe.Sizeof(detail{}); n != 32 {
		t.Errorf("a detail takes %d bytes, want 32", n)
	}
	tab, cache := newTable(1, 1), NewCache(1)
	for what, p := range map[string]unsafe.Pointer{"flows": unsafe.Pointer(&tab.flows[0]), "cache": unsafe.Pointer(&cache.sets[0])} {
		if uintptr(p)%64 != 0 {
			t.Errorf("the %s do not begin with a cache line", what)
		}
	}
	if n := unsafe.Sizeof(set8{}); n != 64 {
		t.Errorf("a set of the cache takes %d bytes, want 64", n)
	}
	var pointers func(reflect.Type) bool
	pointers = func(ty reflect.Type) bool {
		switch ty.Kind() {
		case reflect.Struct:
			for i := range ty.NumField() {
				if pointers(ty.Field(i).Type) {
					return true
				}
			}
			return false
		case reflect.Array:
			return pointers(ty.Elem())
		case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			return false
		}
		return true
	}
	for _, ty := range []reflect.Type{reflect.TypeFor[Flow](), reflect.TypeFor[detail](), reflect.TypeFor[addresses](), reflect.TypeFor[set8]()} {
		if pointers(ty) {
			t.Errorf("a %v holds a pointer: the garbage collector would scan millions", ty)
		}
	}
}

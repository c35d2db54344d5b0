package conntrack

import (
	"reflect"
	"testing"
	"unsafe"
)

func TestFlowIsTwoCacheLinesWithoutPointers(t *testing.T) {
	if n := unsafe.Sizeof(Flow{}); n != 128 {
		t.Errorf("a Flow takes %d bytes, want 128", n)
	}
	if off := unsafe.Offsetof(Flow{}.seen); off != 64 {
		t.Errorf("the changing part starts at %d, want 64", off)
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
	if pointers(reflect.TypeFor[Flow]()) {
		t.Error("a Flow holds a pointer: the garbage collector would scan the slab")
	}
}

package vm

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Map is a map of a program's. Its methods take keys and values as those of an
// [ebpf.Map] do: structs without pointers, in the layout that the program has for them.
type Map struct {
	name               string
	region             int
	key, value, stride int
	limit              int
	array, lru         bool
	values             []byte          // one after the other, a multiple of eight bytes each
	slots              map[string]slot // of hash maps
	free               []uint32
	order              list.List // of LRU maps: the keys, the oldest first
}

// slot is where a key's value is.
type slot struct {
	index uint32        // in values
	age   *list.Element // in order
}

func newMap(spec *ebpf.MapSpec) (*Map, error) {
	m := &Map{key: int(spec.KeySize), value: int(spec.ValueSize), limit: int(spec.MaxEntries)}
	m.stride = (m.value + 7) &^ 7
	switch spec.Type {
	case ebpf.Array, ebpf.PerCPUArray: // of one CPU
		m.array = true
		m.values = make([]byte, m.limit*m.stride)
	case ebpf.Hash, ebpf.XSKMap:
	case ebpf.LRUHash:
		m.lru = true
	default:
		return nil, fmt.Errorf("map %s: type %v: %w", spec.Name, spec.Type, errors.ErrUnsupported)
	}
	if !m.array {
		m.slots = map[string]slot{}
	}
	for _, c := range spec.Contents { // of variables, what they begin with
		if err := m.Update(c.Key, c.Value, ebpf.UpdateAny); err != nil {
			return nil, fmt.Errorf("map %s: %w", spec.Name, err)
		}
	}
	return m, nil
}

// Update sets what is said of a key; the flags are without meaning.
func (m *Map) Update(key, value any, _ ebpf.MapUpdateFlags) error {
	k, err := encode(key, m.key)
	if err != nil {
		return err
	}
	v, err := encode(value, m.value)
	if err != nil {
		return err
	}
	return m.put(k, v)
}

// Delete removes a key, and returns [ebpf.ErrKeyNotExist] if it is not there.
func (m *Map) Delete(key any) error {
	k, err := encode(key, m.key)
	if err != nil {
		return err
	}
	if !m.remove(k) {
		return ebpf.ErrKeyNotExist
	}
	return nil
}

// remove reports whether the key was there. Of an array nothing can be removed.
func (m *Map) remove(key []byte) bool {
	s, ok := m.slots[string(key)]
	if !ok {
		return false
	}
	if m.lru {
		m.order.Remove(s.age)
	}
	delete(m.slots, string(key))
	m.free = append(m.free, s.index)
	return true
}

// Bytes returns the memory of an array's values, eight bytes or a multiple each: what the
// program has written, and will read.
func (m *Map) Bytes() []byte { return m.values }

// Lookup returns the value of a key, as the program has it: eight bytes or a multiple.
func (m *Map) Lookup(key any) (value []byte, ok bool) {
	k, err := encode(key, m.key)
	if err != nil {
		return nil, false
	}
	at, ok := m.find(k)
	if !ok {
		return nil, false
	}
	return m.values[at : at+m.stride], true
}

// Len returns how many keys a hash map has.
func (m *Map) Len() int { return len(m.slots) }

// find returns where the value of a key is in values.
func (m *Map) find(key []byte) (offset int, ok bool) {
	if m.array {
		i := binary.LittleEndian.Uint32(key)
		return int(i) * m.stride, i < uint32(m.limit)
	}
	s, ok := m.slots[string(key)]
	return int(s.index) * m.stride, ok
}

func (m *Map) put(key, value []byte) error {
	offset, ok := m.find(key)
	switch {
	case ok && m.lru:
		m.order.MoveToBack(m.slots[string(key)].age)
	case ok:
	case m.array:
		return ebpf.ErrKeyNotExist
	default:
		if m.lru && len(m.slots) == m.limit { // the kernel goes by use, and only about
			m.remove([]byte(m.order.Front().Value.(string)))
		}
		if len(m.slots) == m.limit {
			return fmt.Errorf("a map is full with %d entries", m.limit)
		}
		offset = m.take(string(key))
	}
	copy(m.values[offset:], value)
	return nil
}

// take finds a place for the value of a new key.
func (m *Map) take(key string) (offset int) {
	s := slot{index: uint32(len(m.values) / m.stride)}
	if n := len(m.free); n > 0 {
		s.index, m.free = m.free[n-1], m.free[:n-1]
	} else {
		m.values = append(m.values, make([]byte, m.stride)...)
	}
	if m.lru {
		s.age = m.order.PushBack(key)
	}
	m.slots[key] = s
	return int(s.index) * m.stride
}

func encode(v any, size int) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = binary.Append(nil, binary.LittleEndian, v); err != nil {
			return nil, fmt.Errorf("write %T to a map: %w", v, err)
		}
	}
	if len(b) != size {
		return nil, fmt.Errorf("write %T to a map: it has %d bytes, want %d", v, len(b), size)
	}
	return b, nil
}

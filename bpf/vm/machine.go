package vm

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

const (
	stackSize = 512       // of one function (MAX_BPF_STACK)
	maxCalls  = 8         // MAX_CALL_FRAMES
	maxSteps  = 1_000_000 // BPF_COMPLEXITY_LIMIT_INSNS
)

// Machine is a program with its maps. It is one goroutine's.
type Machine struct {
	code   []instruction
	maps   map[string]*Map
	tables []*Map // by region, from firstMap on
	memory [][]byte
	queue  uint32
	calls  []frame
	watch  func(table string, key []byte, found bool)
}

// frame is what a function's caller goes on with.
type frame struct {
	next  int32
	saved [4]uint64 // r6 to r9
}

// New returns the program of that name out of a collection, with maps that are as the
// object says. The error wraps [errors.ErrUnsupported] for what a Machine can't do.
func New(spec *ebpf.CollectionSpec, program string) (*Machine, error) {
	p := spec.Programs[program]
	if p == nil {
		return nil, fmt.Errorf("run %s: there is no such program", program)
	}
	m := &Machine{maps: map[string]*Map{}, memory: make([][]byte, firstMap), calls: make([]frame, 0, maxCalls)}
	m.memory[stackRegion] = make([]byte, stackSize*maxCalls)
	for name, s := range spec.Maps {
		t, err := newMap(s)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", program, err)
		}
		t.name, t.region = name, len(m.memory)
		m.memory, m.tables, m.maps[name] = append(m.memory, t.values), append(m.tables, t), t
	}
	if err := m.decode(p.Instructions); err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return m, nil
}

// Watch has f be told of each look-up in a map, with a key that is there until f returns. A name
// without a key is that of another thing that the program asks for, and that is not here.
func (m *Machine) Watch(f func(table string, key []byte, found bool)) { m.watch = f }

// Map returns the map of that name; nil if there is none.
func (m *Machine) Map(name string) *Map { return m.maps[name] }

// call enters a function: it has a stack of its own, and r6 to r9 are its caller's again
// when it returns.
func (m *Machine) call(r *[16]uint64, next int32) error {
	if len(m.calls) == maxCalls-1 {
		return errors.New("functions call each other too deep")
	}
	m.calls = append(m.calls, frame{next, [4]uint64(r[6:10])})
	r[10] += stackSize
	return nil
}

func (m *Machine) leave(r *[16]uint64) (next int32) {
	f := &m.calls[len(m.calls)-1]
	m.calls = m.calls[:len(m.calls)-1]
	copy(r[6:10], f.saved[:])
	r[10] -= stackSize
	return f.next
}

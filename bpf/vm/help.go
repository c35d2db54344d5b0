package vm

import (
	"encoding/binary"
	"fmt"
)

// Helpers by number (include/uapi/linux/bpf.h).
const (
	helpLookup      = 1
	helpUpdate      = 2
	helpDelete      = 3
	helpRedirectMap = 51
	helpSocketUDP   = 85
	helpRelease     = 86
	helpSocketTCP   = 99
)

func isHelper(n uint64) bool {
	switch n {
	case helpLookup, helpUpdate, helpDelete, helpRedirectMap, helpSocketUDP, helpRelease, helpSocketTCP:
		return true
	}
	return false
}

const xdpRedirect = 4 // enum xdp_action

// ownSockets is what a [Machine.Watch] is told of for a socket look-up.
const ownSockets = "own sockets"

// help runs a helper: its arguments are in r1 to r5, and its answer in r0.
func (m *Machine) help(n uint64, r *[16]uint64) error {
	r[0] = 0
	switch n {
	case helpSocketUDP, helpSocketTCP, helpRelease: // there are no sockets here
		if m.watch != nil && n != helpRelease {
			m.watch(ownSockets, nil, false)
		}
		return nil
	}
	i := int(r[1]>>regionShift) - firstMap
	if i < 0 || i >= len(m.tables) {
		return fmt.Errorf("%w: no map at %#x", errMemory, r[1])
	}
	switch t := m.tables[i]; n {
	case helpRedirectMap:
		var key [4]byte
		binary.LittleEndian.PutUint32(key[:], uint32(r[2]))
		r[0] = r[3] & 3 // the flags say what else
		if _, ok := t.find(key[:]); ok {
			r[0] = xdpRedirect
		}
	default:
		key, err := m.bytes(r[2], t.key)
		if err != nil {
			return err
		}
		return m.helpWith(n, t, key, r)
	}
	return nil
}

// helpWith runs a helper that is about a key of a map. What went wrong is an errno for the
// kernel; which one, no program here asks.
func (m *Machine) helpWith(n uint64, t *Map, key []byte, r *[16]uint64) error {
	const failed = ^uint64(0)
	switch n {
	case helpLookup:
		offset, ok := t.find(key)
		if ok {
			r[0] = pointer(t.region, uint64(offset))
		}
		if m.watch != nil {
			m.watch(t.name, key, ok)
		}
	case helpDelete:
		if !t.remove(key) {
			r[0] = failed
		}
	default:
		value, err := m.bytes(r[3], t.value)
		if err != nil {
			return err
		}
		if t.put(key, value) != nil {
			r[0] = failed
		}
		m.memory[t.region] = t.values
	}
	return nil
}

package engine

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/xsk"
)

// Interfaces come and go by number, and a number that nobody has may be given to another one:
// so a bond's slaves are served that were not there at the start.

// Name gives the number of an interface that is away to another one, of that name, which
// [Engine.Take] takes then; empty: to none. The number may be the first that there is not yet.
func (e *Engine) Name(number int, name string) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if number > len(e.names) || number >= maxPorts || e.lease != nil && number < len(e.names) && e.lease.ports[number] != nil {
		return fmt.Errorf("give number %d to %q: there is no such number, or it is served", number, name)
	}
	names, next := slices.Clone(e.names), e.lease
	if number == len(names) {
		names = append(names, "")
		if next != nil {
			next = next.clone()
			if err := next.grow(e); err != nil {
				return fmt.Errorf("have a further interface, %s: %w", name, err)
			}
		}
	}
	names[number] = name
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names, e.lease = names, next
	return nil
}

// grow adds the place and the program of one more interface.
func (l *lease) grow(e *Engine) error {
	program, err := l.loadOne(len(l.programs))
	if err != nil {
		return err
	}
	if err := program.Apply(e.plan); err != nil {
		program.Close()
		return err
	}
	l.programs, l.ports = append(slices.Clone(l.programs), program), append(l.ports, nil)
	return nil
}

// several reports whether several interfaces are served, or may be.
func (e *Engine) several() bool { return e.config.Grows || len(e.names) > 1 }

// frames returns how many a worker has whose sockets share them, as xsk.Config has it.
func (e *Engine) frames() uint32 {
	return uint32(2+2*Room(len(e.names), e.config.Grows)) * xsk.DefaultRingSize
}

// Room returns for how many interfaces frames are made: with one to come where some may. If
// more do, their rings are less full.
func Room(interfaces int, grows bool) int {
	if grows {
		return min(interfaces+1, maxPorts)
	}
	return interfaces
}

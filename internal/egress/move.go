package egress

import (
	"maps"
	"net/netip"
	"slices"
)

// Move says that a neighbour has another MAC address than it had: a router has failed
// over, or a machine has got another network card. Where it is now the Snapshot tells.
type Move struct {
	Addr netip.Addr
	From [6]byte
}

const (
	// maxNeighbours bounds those that are remembered. The kernel's own tables have room
	// for 1,024 of a family, unless somebody wants it otherwise (gc_thresh3).
	maxNeighbours = 1 << 16
	// maxMoves bounds those that nobody has taken yet.
	maxMoves = 1 << 12
)

// remember returns what MAC addresses were and are known, and who has moved. An entry that
// the kernel has dropped stays: who fails over is not there for a while, and comes back
// with another address. Neither of the maps is changed.
func remember(was, is map[netip.Addr][6]byte) (known map[netip.Addr][6]byte, moves []Move) {
	var fresh []netip.Addr
	for a, mac := range is {
		old, had := was[a]
		if had && old == mac {
			continue
		}
		if fresh = append(fresh, a); had {
			moves = append(moves, Move{a, old})
		}
	}
	switch {
	case len(fresh) == 0:
		return was, nil
	case len(was) == 0 || len(was)+len(fresh) > maxNeighbours:
		return is, moves
	}
	known = maps.Clone(was)
	for _, a := range fresh {
		known[a] = is[a]
	}
	return known, moves
}

// Remember has the watcher go on with what another one knew of the interface before it
// went away, the Neighbours of its last Snapshot: whoever is elsewhere now has moved.
func (w *Watcher) Remember(neighbours map[netip.Addr][6]byte) {
	w.mu.Lock()
	w.former = neighbours
	w.mu.Unlock()
	w.wake()
}

// recall makes what another watcher knew a part of the last reading.
func (w *Watcher) recall(former map[netip.Addr][6]byte) {
	if len(former) == 0 {
		return
	}
	r := *w.last
	r.Neighbours = maps.Clone(former)
	for a, mac := range w.last.Neighbours {
		if _, had := former[a]; !had {
			r.Neighbours[a] = mac
		}
	}
	w.last = &r
}

// Moves returns who has moved since it was called last. There is one for each MAC address
// that a neighbour had in between, unless there are thousands.
func (w *Watcher) Moves() []Move {
	w.mu.Lock()
	defer w.mu.Unlock()
	moves := w.moves
	w.moves = nil
	return moves
}

// note keeps moves for whoever takes them. The lock is held.
func (w *Watcher) note(moves []Move) {
	for _, m := range moves {
		if len(w.moves) < maxMoves && !slices.Contains(w.moves, m) {
			w.moves = append(w.moves, m)
		}
	}
}

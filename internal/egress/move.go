package egress

import (
	"maps"
	"slices"
)

// Move says that a neighbour is at another place than it was: a router has failed over, a
// machine has got another network card, or a bond has turned to another slave. Where it is now the Snapshot tells.
type Move struct {
	Who  Neighbour
	From Place
}

const (
	// maxNeighbours bounds those that are remembered. The kernel's own tables have room
	// for 1,024 of a family, unless somebody wants it otherwise (gc_thresh3).
	maxNeighbours = 1 << 16
	// maxMoves bounds those that nobody has taken yet.
	maxMoves = 1 << 12
)

// remember returns what places were and are known, and who has moved. An entry that
// the kernel has dropped stays: who fails over is not there for a while, and comes back
// elsewhere. Neither of the maps is changed.
func remember(was, is map[Neighbour]Place) (known map[Neighbour]Place, moves []Move) {
	var fresh []Neighbour
	for a, at := range is {
		old, had := was[a]
		if had && old == at {
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

// Remember has the watcher go on with what another one knew before it ended,
// the Neighbours of its last Snapshot: whoever is elsewhere now has moved.
func (w *Watcher) Remember(neighbours map[Neighbour]Place) {
	w.mu.Lock()
	w.former = neighbours
	w.mu.Unlock()
	w.wake()
}

// recall makes what another watcher knew a part of the last reading.
func (w *Watcher) recall(former map[Neighbour]Place) {
	if len(former) == 0 {
		return
	}
	r := *w.last
	r.Neighbours = maps.Clone(former)
	for a, at := range w.last.Neighbours {
		if _, had := former[a]; !had {
			r.Neighbours[a] = at
		}
	}
	w.last = &r
}

// Moves returns who has moved since it was called last. There is one for each place
// where a neighbour was in between, unless there are thousands: of those that are left out
// the log tells.
func (w *Watcher) Moves() []Move {
	w.mu.Lock()
	defer w.mu.Unlock()
	moves := slices.Collect(maps.Keys(w.moves))
	clear(w.moves)
	return moves
}

// note keeps moves for whoever takes them, and returns how many there is no room for. The
// lock is held.
func (w *Watcher) note(moves []Move) (left int) {
	for _, m := range moves {
		if len(w.moves) < maxMoves {
			w.moves[m] = struct{}{}
		} else if _, ok := w.moves[m]; !ok {
			left++
		}
	}
	return left
}

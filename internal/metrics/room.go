package metrics

// block is how many of a kind are made at once.
const block = 256

// room is where things are made that stay where they are, since others point to them.
type room[T any] struct {
	blocks [][]T // of block each
	used   int
}

// next returns the next one, as it was left when the room was last used.
func (r *room[T]) next() *T {
	if r.used == block*len(r.blocks) {
		r.blocks = append(r.blocks, make([]T, block))
	}
	next := &r.blocks[r.used/block][r.used%block]
	r.used++
	return next
}

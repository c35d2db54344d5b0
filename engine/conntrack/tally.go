//go:build !race

package conntrack

// A flow's counters, its clock and the numbers of sequence.go are plain words that each
// packet writes and that the housekeeping and lists for people read by atomic loads.
// Aligned words are never torn on the machines that Go runs on with 64 bits; the memory
// model allows the race for them ("Implementation Restrictions for Programs Containing
// Data Races"). A locked instruction would cost each packet several ns, wait for every
// store before it, and so make one cache miss wait for the other.
//
// Normally one worker at a time sees the packets of one direction. Where two do, while
// a flow moves to another queue, one may overwrite what the other has just counted.
//
// The race detector gets the atomic form of the same (tally_race.go), so that it goes
// on finding the races that are none of these.

func set32(p *uint32, v uint32) { *p = v }

func set64(p *uint64, v uint64) { *p = v }

func add64(p *uint64, n uint64) uint64 { *p += n; return *p }

package conntrack

import "github.com/afxlb/afxlb/internal/packet"

// index finds a shard's flows by the client's end, its address, port and protocol,
// which both keys of a flow have: one entry of a Go map serves two directions. Filing
// each key by itself takes two entries in two shards, three times the memory and, of
// the time that an insert needs, more than twice as much. Guarded by the shard's lock.
type index struct {
	// heads has the newest flow of a client's end, by the lower half of its hash. The
	// others follow through detail.link: flows of this client's end to further services,
	// and those of another one, some hundred among ten million, with the same hash.
	heads map[uint32]uint32
	// spill has the flows that would make a chain longer than maxChain, by their keys in
	// each direction: with hundreds of services a client could make one that all its
	// packets walk along.
	spill [numDirections]map[packet.Key]uint32
}

const maxChain = 8

func newIndex(n int) index {
	x := index{heads: make(map[uint32]uint32, n)}
	for d := range x.spill {
		x.spill[d] = make(map[packet.Key]uint32)
	}
	return x
}

// head returns the newest flow with a client's end of this hash, or none.
func (x *index) head(hash uint64) uint32 {
	if i, ok := x.heads[uint32(hash)]; ok {
		return i
	}
	return none
}

// find returns the flow that k is the key of in direction d. The head is that of
// its client's end.
func (x *index) find(t *Table, head uint32, k *packet.Key, d Direction) (Ref, bool) {
	for i := head; i != none; i = t.details[i].link {
		// A reply of a masked flow has nothing of the client: what looks like one is forged.
		if r, f := ref(i, d), &t.flows[i]; t.Matches(r, f, k) && (d == Request || f.Routed()) {
			return r, true
		}
	}
	if len(x.spill[d]) == 0 { // nearly always, and it saves the hashing
		return 0, false
	}
	i, ok := x.spill[d][*k]
	return ref(i, d), ok
}

// crowded reports whether the chain that begins at head is as long as it may become.
func (x *index) crowded(t *Table, head uint32) bool {
	n := 0
	for i := head; i != none; i = t.details[i].link {
		n++
	}
	return n >= maxChain
}

// file enters record i, whose client's end has the hash and the head.
func (x *index) file(t *Table, i uint32, hash uint64, head uint32) {
	f := &t.flows[i]
	if f.flags&spilled == 0 {
		t.details[i].link = head
		x.heads[uint32(hash)] = i
		return
	}
	if !f.Scattered() {
		x.spill[Request][t.key(ref(i, Request))] = i
	}
	if k, ok := t.replyEntry(i); ok {
		x.spill[Reply][k] = i
	}
}

// unfile takes record i out.
func (x *index) unfile(t *Table, i uint32) {
	f, k := &t.flows[i], t.key(ref(i, Request))
	if f.flags&spilled != 0 {
		if !f.Scattered() {
			delete(x.spill[Request], k)
		}
		if k, ok := t.replyEntry(i); ok {
			delete(x.spill[Reply], k)
		}
		return
	}
	hash, link := t.HashClient(&k, Request), t.details[i].link
	head := x.heads[uint32(hash)]
	switch {
	case head != i:
		for j := head; ; j = t.details[j].link {
			if t.details[j].link == i {
				t.details[j].link = link
				return
			}
		}
	case link != none:
		x.heads[uint32(hash)] = link
	default:
		delete(x.heads, uint32(hash))
	}
}

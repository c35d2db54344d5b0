package balancer

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// Way is one of several next hops of a route.
type Way struct {
	NextHop
	Weight int // above 0
}

// spread is the ways to an address whose route has several next hops (equal-cost multipath):
// each flow goes by one of them. In the place of its hop word there is one of spreadLink.
type spread struct {
	ways  []exit
	slots [spreadSlots]uint8 // index into ways, by hash of the flow
}

// exit is a hop word, and the source MAC address of the frames that go there.
type exit struct{ next, source uint64 }

const spreadLink LinkID = 0xfffe // no link, as that of NoHop

const spreadSlots = 256

// Spreads reports whether a hop word stands for several ways, of which [Table.Way] tells one.
func Spreads(hop uint64) bool { return HopLink(hop) == spreadLink }

// Way returns the way that a flow takes of the several that hop stands for, by the hash of
// its key, and the source MAC address of its frames.
func (t *Table) Way(hop, hash uint64) (next, source uint64) {
	s := &t.spreads.list[HopMAC(hop)-1]
	e := &s.ways[s.slots[hash%spreadSlots]]
	return e.next, e.source
}

// Ways returns the hop words of all ways that hop stands for, one as well as several.
func (t *Table) Ways(hop uint64) (next []uint64) {
	if !Spreads(hop) {
		return []uint64{hop}
	}
	for _, e := range t.spreads.list[HopMAC(hop)-1].ways {
		next = append(next, e.next)
	}
	return next
}

// spreads has each set of ways once.
type spreads struct {
	list []spread
	made map[string]uint64 // hop words by what they stand for
}

// spread returns the hop word for several ways; false: there are not two of them.
func (t *Table) spread(ways []Way) (hop uint64, ok bool) {
	var s spread
	var weights []int
	var id []byte
	for i := range ways[:min(len(ways), math.MaxUint8)] {
		next, ok := t.word(&ways[i].MAC, ways[i].Link)
		if !ok {
			continue
		}
		source := t.source(&ways[i].NextHop)
		s.ways, weights = append(s.ways, exit{next, source}), append(weights, ways[i].Weight)
		for _, w := range []uint64{next, source, uint64(ways[i].Weight)} {
			id = binary.LittleEndian.AppendUint64(id, w)
		}
	}
	if len(s.ways) < 2 {
		return 0, false
	}
	if hop, ok := t.spreads.made[string(id)]; ok {
		return hop, true
	}
	for slot := range s.slots {
		s.slots[slot] = s.best(uint64(slot), weights)
	}
	t.spreads.list = append(t.spreads.list, s)
	hop = spreadLink.Word(uint64(len(t.spreads.list))) // never 0, which is no MAC address
	if t.spreads.made == nil {
		t.spreads.made = map[string]uint64{}
	}
	t.spreads.made[string(id)] = hop
	return hop, true
}

// best returns the way of a slot: by weighted rendezvous hashing, so that when one goes only
// its own slots change (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables").
func (s *spread) best(slot uint64, weights []int) (best uint8) {
	var key [16]byte
	least := math.Inf(1)
	for i, e := range s.ways {
		binary.LittleEndian.PutUint64(key[:], slot)
		binary.LittleEndian.PutUint64(key[8:], e.next)
		u := (float64(xxhash.Sum64(key[:])>>11) + 1) / (1 << 53) // even in (0, 1]
		if cost := -math.Log(u) / float64(max(weights[i], 1)); cost < least {
			best, least = uint8(i), cost
		}
	}
	return best
}

// ways returns the several ways for a mode to an address, if there are. Only modes that send
// packets to the address as a router would have them.
func (f *Facts) ways(a netip.Addr, m Mode) []Way {
	if mode := m.Traits(); !mode.Translates && !mode.Encapsulates {
		return nil
	}
	return f.Ways[a]
}

package traffic

import (
	"math/rand/v2"

	"github.com/afxlb/afxlb/engine/conntrack"
)

// Packet is one of those that a run sends over and over: a flow's number, the backend
// that it is at, and a direction, in 32 bits, so that going through millions of them
// takes next to no cache from what is measured.
type Packet uint32

// Bounds of what a Packet can say.
const (
	MaxFlows    = 1 << 24
	MaxBackends = 1 << 7
)

// NewPacket returns the packet of a flow.
func NewPacket(flow uint32, backend int, d conntrack.Direction) Packet {
	return Packet(flow<<8 | uint32(backend)<<1 | uint32(d))
}

// Flow returns the number of the flow, which is its client's.
func (p Packet) Flow() uint32 { return uint32(p >> 8) }

// Backend returns the number of the backend that the flow is at.
func (p Packet) Backend() int { return int(p>>1) & (MaxBackends - 1) }

// Direction returns who sends it.
func (p Packet) Direction() conntrack.Direction { return conntrack.Direction(p & 1) }

// Owner returns which of n workers gets the packet. As with RSS it is chance, and the
// two directions of a flow often part.
func (p Packet) Owner(n int) int {
	h := uint64(p) * 0x9e3779b97f4a7c15 // splitmix64's finalizer
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return int((h >> 33) * uint64(n) >> 31)
}

// Deal gives each packet to its owner among n, and shuffles what each has got: memory
// that was laid out in the order of flows is then visited in none, and no prefetcher
// helps.
func Deal(packets []Packet, n int) [][]Packet {
	hands := make([][]Packet, n)
	for i := range hands {
		hands[i] = make([]Packet, 0, len(packets)/n+len(packets)/64)
	}
	for _, p := range packets {
		i := p.Owner(n)
		hands[i] = append(hands[i], p)
	}
	r := rand.New(rand.NewPCG(uint64(len(packets)), uint64(n))) // the same each time
	for _, h := range hands {
		r.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
	}
	return hands
}

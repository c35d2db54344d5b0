package conntrack

import (
	"sync/atomic"

	"github.com/afxlb/afxlb/internal/packet"
)

// Ref names one direction of one record: the record's slab index, shifted left
// by one, with the [Direction] in the lowest bit.
type Ref uint32

// Direction tells a flow's two sides apart.
type Direction uint8

// The directions.
const (
	Request Direction = 0 // client to service
	Reply   Direction = 1 // backend to client
)

func ref(index uint32, d Direction) Ref { return Ref(index<<1 | uint32(d)) }

// Direction returns the side that the reference stands for.
func (r Ref) Direction() Direction { return Direction(r & 1) }

func (r Ref) index() uint32 { return uint32(r >> 1) }

// Flow is one tracked flow, two cache lines without a pointer, so that the
// garbage collector has nothing to scan in a slab of millions.
type Flow struct {
	// Identity: constant while the record is live; see the package comment.

	Client, VIP, Backend             packet.Addr
	ClientPort, VIPPort, BackendPort uint16
	Proto                            uint8
	Paired                           bool   // has a reply key: replies pass through the balancer
	BackendID                        uint32 // index into balancer.Table.Backends

	// life is odd while the record is live. It is the publication point: a
	// worker loads it before it reads the identity.
	life atomic.Uint32

	// Second cache line. Shared by all workers, atomic.

	seen      atomic.Uint32 // coarse clock at the last packet, ms
	state     atomic.Uint32 // event bits, see state.go, and the class in the top byte
	clientMAC atomic.Uint64 // where replies go, low 48 bits
	counts    [2]count      // by Direction

	// Guarded by the home shard's lock.

	prev, next uint32 // neighbours in the class list, or the next record in a free list
	stamp      uint32 // coarse clock when the record took its place in the list
	created    uint32 // coarse clock at the insert
}

type count struct{ packets, bytes atomic.Uint64 }

// Live reports whether the record stands for a flow right now. A worker must
// ask before it reads the identity through a remembered [Ref].
func (f *Flow) Live() bool { return f.life.Load()&1 == 1 }

// Warm loads both cache lines of the record, whether it is live or not. The result
// must be consumed, or the compiler drops the loads.
func (f *Flow) Warm() uint32 { return f.life.Load() + f.seen.Load() }

// Matches reports whether k is the flow's key in direction d.
func (f *Flow) Matches(k *packet.Key, d Direction) bool {
	if d == Request {
		return k.Src == f.Client && k.Dst == f.VIP && k.SrcPort == f.ClientPort && k.DstPort == f.VIPPort && k.Proto == uint32(f.Proto)
	}
	return k.Src == f.Backend && k.Dst == f.Client && k.SrcPort == f.BackendPort && k.DstPort == f.ClientPort && k.Proto == uint32(f.Proto)
}

// Key returns the flow's key in direction d.
func (f *Flow) Key(d Direction) packet.Key {
	if d == Request {
		return packet.Key{Src: f.Client, Dst: f.VIP, SrcPort: f.ClientPort, DstPort: f.VIPPort, Proto: uint32(f.Proto)}
	}
	return packet.Key{Src: f.Backend, Dst: f.Client, SrcPort: f.BackendPort, DstPort: f.ClientPort, Proto: uint32(f.Proto)}
}

// touchInterval bounds how often a busy flow's record is written for its clock:
// an atomic store is a locked instruction, and no timeout is this short.
const touchInterval = 64 // ms

// Touch counts a packet of n bytes and keeps the flow from expiring.
func (f *Flow) Touch(d Direction, n int, now uint32) {
	if now-f.seen.Load() >= touchInterval {
		f.seen.Store(now)
	}
	c := &f.counts[d]
	c.packets.Add(1)
	c.bytes.Add(uint64(n))
}

// LearnClientMAC remembers where the client's packets come from, so that
// replies go back the same way. A router that fails over is followed at its
// first packet.
func (f *Flow) LearnClientMAC(m packet.MAC) {
	v := uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
	if f.clientMAC.Load() != v {
		f.clientMAC.Store(v)
	}
}

// ClientMAC returns what [Flow.LearnClientMAC] remembered.
func (f *Flow) ClientMAC() packet.MAC {
	v := f.clientMAC.Load()
	return packet.MAC{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

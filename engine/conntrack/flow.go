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

// role is one of the three parties of a flow. The order is such that source,
// destination and the address that replaces one of them are found by arithmetic, source and
// destination next to each other: half of the packets are replies, in no order that a branch
// predictor could learn.
//
//	          source    destination   becomes
//	request   client    vip           backend (the destination)
//	reply     backend   client        vip     (the source)
type role uint

const (
	backend role = iota
	client
	vip
	numRoles
)

func (d Direction) source() role      { return role(1 - d&1) }
func (d Direction) destination() role { return d.source() + 1 }
func (d Direction) becomes() role     { return role(2 * (d & 1)) }

// Flow is what the packets of one tracked flow need: one cache line, without a pointer,
// so that the garbage collector has nothing to scan in a slab of millions. An IPv4
// packet touches nothing else of the flow; the rest is in its [detail].
type Flow struct {
	// state says whether the record is live, the class, and what was seen. It is the
	// publication point: a worker loads it before it reads the identity.
	state atomic.Uint32
	seen  uint32 // coarse clock at the last packet, ms; see tally.go

	// Identity: constant while the record is live; see the package comment.

	BackendID uint32           // index into balancer.Table.Backends
	port      [numRoles]uint16 // host order
	proto     uint8            //
	flags     uint8            //
	low       [numRoles]uint32 // last four bytes of the addresses, as packet.Addr.Low reads them

	hop   atomic.Uint64         // where replies go, a hop word of the balancing tables
	ack   [numDirections]uint32 // see sequence.go
	count [numDirections]uint64 // bytes << packetBits | packets; see count.go
}

const numDirections = 2

// Flags of a record. The first two are such that bit d says that nothing in direction d is
// of the flow.
const (
	scattered = 1 << iota // of several with one request key: it is found by its replies alone
	oneWay                // replies do not pass through the balancer
	ipv6                  // the whole addresses are in Table.addresses
	spilled               // is in index.spill
	observed              // the Observer is told
	masked                // the source is translated too; see source.go
	mixed                 // and is of another family than the client
)

// addresses are the parties' whole addresses, part of the identity of a flow with
// IPv6, and one more: of a flow with a translated source the backend's. They lie apart: in
// a table without such flows they take no memory.
type addresses [numRoles + 1]packet.Addr

// detail is the part of a record that is not for every packet.
type detail struct {
	// Guarded by the home shard's lock.

	prev, next uint32 // neighbours in the class list, or the next record in limbo or a free list
	stamp      uint32 // coarse clock when the record took its place in the list
	created    uint32 // coarse clock at the insert
	link       uint32 // the next record in the index

	// What does not fit into Flow.count.

	bytes   [numDirections]atomic.Uint32 // of 4 GB
	packets atomic.Uint32                // of 1 << packetBits, 16 bits for each direction
}

// Live reports whether the record stands for a flow right now. A worker must
// ask before it reads the identity through a remembered [Ref].
func (f *Flow) Live() bool { return f.state.Load()&live != 0 }

// Paired reports whether replies pass through the balancer.
func (f *Flow) Paired() bool { return f.flags&oneWay == 0 }

// Scattered reports whether the flow is one of several of its client's end to its service,
// each to another backend.
func (f *Flow) Scattered() bool { return f.flags&scattered != 0 }

// Low returns the last four bytes of the address that takes the place of the source or
// the destination in direction d: all of an IPv4 address.
func (f *Flow) Low(d Direction) uint32 { return f.low[d.becomes()] }

// Port returns the port that comes with the address of [Flow.Low].
func (f *Flow) Port(d Direction) uint16 { return f.port[d.becomes()] }

// Matches reports whether k is the key of the flow behind r, which f is.
func (t *Table) Matches(r Ref, f *Flow, k *packet.Key) bool {
	d := r.Direction()
	differ := (k.Src.Low() ^ f.low[d.source()]) | (k.Dst.Low() ^ f.low[d.destination()]) |
		uint32(k.SrcPort^f.port[d.source()]) | uint32(k.DstPort^f.port[d.destination()]) | (k.Proto ^ uint32(f.proto)) |
		uint32(f.flags>>(d&1)&1)
	if differ != 0 {
		return false
	}
	if f.flags&ipv6 == 0 {
		return k.Src.Is4()
	}
	a := &t.addresses[r.index()]
	return k.Src == a[d.source()] && k.Dst == a[d.destination()]
}

// Address6 returns the IPv6 address that takes the place of the source or the
// destination of a packet that r stands for.
func (t *Table) Address6(r Ref) *packet.Addr {
	return &t.addresses[r.index()][r.Direction().becomes()]
}

// address returns a party's address, of either family.
func (t *Table) address(i uint32, party role) packet.Addr {
	if f := &t.flows[i]; f.flags&ipv6 == 0 {
		return packet.AddrFromLow(f.low[party])
	}
	return t.addresses[i][party]
}

func is4(k *packet.Key) bool { return k.Src.Is4() && k.Dst.Is4() }

// RequestKey returns the key of the requests of the flow behind r.
func (t *Table) RequestKey(r Ref) packet.Key { return t.key(r &^ Ref(Reply)) }

// key returns the key that r stands for.
func (t *Table) key(r Ref) packet.Key {
	f, i, d := t.Flow(r), r.index(), r.Direction()
	return packet.Key{
		Src: t.address(i, d.source()), Dst: t.address(i, d.destination()),
		SrcPort: f.port[d.source()], DstPort: f.port[d.destination()],
		Proto: uint32(f.proto),
	}
}

func (f *Flow) lastSeen() uint32 { return atomic.LoadUint32(&f.seen) }

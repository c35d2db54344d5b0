// Package persist remembers which backend a client went to, so that its next connections
// go there too, whatever the algorithm says: what IPVS calls persistence and keepalived
// persistence_timeout. A client is an address, or the network that it is in; services of one
// group share what is known of it.
//
// The memory is fixed. A packet with a made-up source address costs no more than a place in
// it, and not that of a client that has had a connection: clients that only one packet is
// known of are a class of their own, which yields first.
//
// It is asked once a new flow, never per packet.
package persist

import (
	"cmp"
	"math/rand/v2"
	"sync"

	"github.com/afxlb/afxlb/internal/packet"
)

// Client is who is remembered.
type Client struct {
	Group uint64      // of services; see balancer.Persistence
	Net   packet.Addr // its address, without the bits that do not count
}

// Place is where a client is served: a backend's address and port.
type Place struct {
	Address packet.Addr
	Port    uint16
}

// entry is what is known of a client. It has no pointer.
type entry struct {
	client     Client
	place      Place
	timeout    uint32 // ms
	touched    uint32 // coarse clock at the last sign of life, ms
	flows      uint32 // that are alive; as long as there are any, time does not count
	prev, next uint32 // in the list of its class
	class      class
}

// class says what is known of a client.
type class uint8

const (
	fresh  class = iota // it has sent a packet, as somebody says
	proven              // it has had a connection
	numClasses
)

const none = ^uint32(0)

const (
	shards = 16
	// freshShare is the part of a shard's places that clients of the class fresh may
	// have when others want them.
	freshShare = 4
)

// Table is safe for use by anybody. Times are the engine's coarse clock, in ms.
type Table struct {
	seed   uint64
	shards [shards]shard
	behind *Table // what it does not know, this may, which it only reads; nil: nothing
}

type shard struct {
	mu      sync.Mutex
	index   map[Client]uint32
	entries []entry // at most limit of them; memory that was never used is not there
	limit   int
	lists   [numClasses]list
	evicted uint64

	_ [64]byte // the next shard's lock on a line of its own
}

// list is in order of the last touch, the oldest first.
type list struct {
	head, tail uint32
	n          int
}

// New returns a table for so many clients at most, and at least one a shard. The seed is that of
// its hashes; with 0 it is one that nobody can guess.
func New(clients int, seed uint64) *Table {
	t := &Table{seed: cmp.Or(seed, rand.Uint64())}
	for i := range t.shards {
		t.shards[i] = shard{index: map[Client]uint32{}, limit: max(clients/shards, 1)}
		for c := range t.shards[i].lists {
			t.shards[i].lists[c] = list{head: none, tail: none}
		}
	}
	return t
}

// Over returns a small table over t: it knows what t knows, and t learns nothing from it.
func Over(t *Table) *Table {
	own := New(shards, 0)
	own.behind = t
	return own
}

func (t *Table) shard(c *Client) *shard {
	k := packet.Key{Src: c.Net}
	return &t.shards[(k.Hash(t.seed)^c.Group)%shards]
}

// Find returns where the client is served, if that is known and still holds.
func (t *Table) Find(c Client, now uint32) (Place, bool) {
	s := t.shard(&c)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[c]
	if !ok && t.behind != nil {
		return t.behind.Find(c, now)
	}
	if !ok || !s.entries[i].holds(now) {
		return Place{}, false
	}
	return s.entries[i].place, true
}

// maxHold bounds how long flows hold an entry by being there, in ms: of those whose end
// nobody told, as after a change of the configuration.
const maxHold = 24 * 3600 * 1000

// ahead bounds by how much the time of a touch may be ahead of who asks, ms: flows are begun
// by the time of a worker's batch, and end by that of another clock. What is left of the
// clock's round is more than any timeout.
const ahead = 1 << 30

func (e *entry) holds(now uint32) bool {
	idle := now - e.touched
	if -idle < ahead {
		idle = 0
	}
	return idle < e.timeout || e.flows > 0 && idle < maxHold
}

// Begin notes that the client has a new flow to a place, and is to go there for the timeout
// after its last one.
func (t *Table) Begin(c Client, at Place, timeout, now uint32) {
	s := t.shard(&c)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[c]
	if !ok {
		if i, ok = s.alloc(now); !ok {
			return
		}
		s.index[c] = i
		s.entries[i] = entry{client: c, class: fresh}
		s.push(i)
	}
	e := &s.entries[i]
	e.place, e.timeout = at, timeout
	e.flows++
	s.touch(i, e.class, now)
}

// Prove notes that a flow of the client has been answered, or goes on: somebody is there.
func (t *Table) Prove(c Client, now uint32) {
	s := t.shard(&c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[c]; ok {
		s.touch(i, proven, now)
	}
}

// End notes that a flow of the client is over.
func (t *Table) End(c Client, now uint32) {
	s := t.shard(&c)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[c]
	if !ok || s.entries[i].flows == 0 { // it was pushed out meanwhile
		return
	}
	s.entries[i].flows--
	s.touch(i, s.entries[i].class, now)
}

// Stats are the figures of a [Table].
type Stats struct {
	Clients, Limit int    // also those whose time is over, as long as nobody needs their places
	Evicted        uint64 // that were forgotten before their time, to make room
}

// Stats returns the figures of now. It locks a shard after the other.
func (t *Table) Stats() (sum Stats) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.Clients += len(s.index)
		sum.Limit += s.limit
		sum.Evicted += s.evicted
		s.mu.Unlock()
	}
	return sum
}

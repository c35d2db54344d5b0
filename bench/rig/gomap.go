package rig

import (
	"sync"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// goMap is the reference: what a Go program would do that takes packets one at a time.
// The maps are sharded, locked for reading and free of pointers, but there is nothing
// in front of them, and nothing of a balancer around them: to look a key up, or to put one
// in that is not there, is all that it does.
type goMap struct {
	v4     bool
	shards [64]struct {
		mu sync.RWMutex
		v4 map[key4]uint32
		v6 map[packet.Key]uint32
		_  [64]byte
	}
}

// key4 is a key of IPv4 addresses, as small as it can be.
type key4 struct {
	src, dst         [4]byte
	srcPort, dstPort uint16
	proto            uint32
}

func newKey4(k *packet.Key) key4 {
	return key4{[4]byte(k.Src[12:]), [4]byte(k.Dst[12:]), k.SrcPort, k.DstPort, k.Proto}
}

// newGoMap returns empty maps for the flows of a rig.
func newGoMap(r *Rig) *goMap {
	m := &goMap{v4: r.config.Family == traffic.IPv4}
	for i := range m.shards {
		m.shards[i].v4, m.shards[i].v6 = map[key4]uint32{}, map[packet.Key]uint32{}
	}
	return m
}

// learn has the maps know the first flows in the directions that pass the balancer.
func (m *goMap) learn(r *Rig, flows int) *goMap {
	for n := range uint32(flows) {
		k := r.config.Family.Key(n)
		m.put(&k, n<<1|uint32(conntrack.Request))
		if r.replies() {
			k = k.Reverse()
			k.Src, k.SrcPort = packet.AddrFrom(r.config.Family.Backend(r.backendOf(n))), traffic.BackendPort
			if r.ends != nil && int(n) < len(r.ends) { // new flows' are not known, and cost the same
				k.Dst, k.DstPort = packet.AddrFrom(r.config.Family.Source(int(r.ends[n].Low))), r.ends[n].Port
			}
			m.put(&k, n<<1|uint32(conntrack.Reply))
		}
	}
	return m
}

// seed is any: nobody attacks the bench.
const seed = 0x5eed

// put remembers v for a key, unless that is known.
func (m *goMap) put(k *packet.Key, v uint32) {
	s := &m.shards[k.Hash(seed)>>58]
	s.mu.Lock()
	if m.v4 {
		if k4 := newKey4(k); !has(s.v4, k4) {
			s.v4[k4] = v
		}
	} else if !has(s.v6, *k) {
		s.v6[*k] = v
	}
	s.mu.Unlock()
}

func has[K comparable](m map[K]uint32, k K) bool {
	_, ok := m[k]
	return ok
}

func (m *goMap) get(k *packet.Key) (v uint32, ok bool) {
	s := &m.shards[k.Hash(seed)>>58]
	s.mu.RLock()
	if m.v4 {
		v, ok = s.v4[newKey4(k)]
	} else {
		v, ok = s.v6[*k]
	}
	s.mu.RUnlock()
	return v, ok
}

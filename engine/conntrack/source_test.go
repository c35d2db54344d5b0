package conntrack

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
)

// masking lends sources for the flows of newFlow.
type masking struct {
	tab   *Table
	ports *snat.Ports
}

func newMasking(tab *Table, ports int) masking {
	return masking{tab, snat.NewPorts(snat.Range{First: 2000, Last: uint16(2000 + ports - 1)}, snat.Range{})}
}

var sources = []packet.Addr{packet.AddrFrom(netip.MustParseAddr("10.9.0.1")), packet.AddrFrom(netip.MustParseAddr("2001:db8:9::1"))}

// flow returns newFlow(n), or one with IPv6 throughout, with a source; false without one.
func (m masking) flow(n int, proto uint32) (*NewFlow, bool) {
	f := newFlow(n, proto)
	if n&1 == 1 {
		f.Key.Dst, f.Backend = packet.AddrFrom(netip.MustParseAddr("2001:db8:2::10")), packet.Addr{0: 0x20, 1: 1, 15: byte(n % 7)}
	}
	g := m.tab.Ports.Group(snat.Key{Remote: f.Backend, Port: f.BackendPort, Proto: uint16(proto)}, sources, m.ports)
	l, ok := g.Take(f.Key.Hash(0), f.BackendPort)
	f.Source = &l
	return f, ok
}

func (m masking) must(t *testing.T, n int, proto uint32) *NewFlow {
	t.Helper()
	f, ok := m.flow(n, proto)
	if !ok {
		t.Fatal("no source")
	}
	return f
}

// sourceKey returns the key of a masked flow's replies.
func sourceKey(n *NewFlow) packet.Key {
	return packet.Key{Src: n.Backend, Dst: n.Source.Source, SrcPort: n.BackendPort, DstPort: n.Source.Port, Proto: n.Key.Proto}
}

// answered returns the flow that k is the key of a reply of.
func (t *Table) answered(k *packet.Key, n *NewFlow) (Ref, bool) {
	r, ok := t.FindReply(k)
	return r, ok && t.Flow(r).Live() && t.MatchesMasked(r, t.Flow(r), k, &n.Backend, n.BackendPort)
}

func TestMaskedFlow(t *testing.T) {
	tab := newTable(100, 1)
	m := newMasking(tab, 10)
	for n := range 4 {
		flow := m.must(t, n, packet.ProtoUDP)
		r := mustInsert(t, tab, flow, 5)
		f, k := tab.Flow(r), sourceKey(flow)
		if !f.Masked() || !f.Paired() || f.Routed() {
			t.Errorf("flow %d: masked %v, paired %v, routed %v", n, f.Masked(), f.Paired(), f.Routed())
		}
		if got, ok := tab.Find(flow.Key, Request); !ok || got != r {
			t.Errorf("flow %d is not found by its request", n)
		}
		reply, ok := tab.answered(&k, flow)
		if !ok || reply != r|1 {
			t.Errorf("flow %d is not found by its reply", n)
		}
		for what, change := range map[string]func(*packet.Key){
			"backend": func(k *packet.Key) { k.Src[15]++ }, "backend's port": func(k *packet.Key) { k.SrcPort++ },
			"source": func(k *packet.Key) { k.Dst[15]++ }, "port": func(k *packet.Key) { k.DstPort++ }, "protocol": func(k *packet.Key) { k.Proto++ },
		} {
			other := k
			change(&other)
			if tab.MatchesMasked(reply, f, &other, &flow.Backend, flow.BackendPort) {
				t.Errorf("flow %d is answered by another %s", n, what)
			}
		}
		if tab.MatchesMasked(r, f, &k, &flow.Backend, flow.BackendPort) || tab.MatchesMasked(reply, f, flow.Key, &flow.Backend, flow.BackendPort) {
			t.Errorf("flow %d: one direction is the other", n)
		}
		if !tab.MatchesMasked(r, f, flow.Key, &flow.Backend, flow.BackendPort) || !tab.Matches(r, f, flow.Key) {
			t.Errorf("flow %d does not match its request", n)
		}
		forged := packet.Key{Src: flow.Source.Source, Dst: flow.Key.Src, SrcPort: flow.Source.Port, DstPort: flow.Key.SrcPort, Proto: flow.Key.Proto}
		if _, ok := tab.Find(&forged, Reply); ok {
			t.Errorf("flow %d is found by what comes from its source", n)
		}
		seen := 0
		tab.Range(5, func(in Info) bool {
			if in.Key == *flow.Key {
				seen++
				if !in.Masked() || in.Source != flow.Source.Source || in.SourcePort != flow.Source.Port {
					t.Errorf("flow %d: %+v", n, in)
				}
			}
			return true
		})
		if seen != 1 {
			t.Errorf("flow %d is listed %d times", n, seen)
		}
	}
	tab.check(t)
}

// The ends that packets get are those of the flow, whatever the family and direction.
func TestEnds(t *testing.T) {
	tab := newTable(100, 1)
	m := newMasking(tab, 10)
	for n := range 2 {
		flow := m.must(t, n, packet.ProtoUDP)
		r := mustInsert(t, tab, flow, 5)
		f := tab.Flow(r)
		for _, port := range []uint16{flow.BackendPort, 0} {
			to := port
			if to == 0 { // the one that was asked for
				to = flow.Key.DstPort
			}
			for _, c := range []struct {
				r                Ref
				src, dst         packet.Addr
				srcPort, dstPort uint16
			}{
				{r, flow.Source.Source, flow.Backend, flow.Source.Port, to},
				{r | 1, flow.Key.Dst, flow.Key.Src, flow.Key.DstPort, flow.Key.SrcPort},
			} {
				if n == 0 {
					want := packet.Ends4{Src: c.src.Low(), Dst: c.dst.Low(), SrcPort: c.srcPort, DstPort: c.dstPort}
					if got := f.Ends4(c.r.Direction(), flow.Backend.Low(), port); got != want {
						t.Errorf("direction %d: %+v, want %+v", c.r.Direction(), got, want)
					}
					continue
				}
				if got := tab.Ends6(c.r, f, &flow.Backend, port); *got.Src != c.src || *got.Dst != c.dst || got.SrcPort != c.srcPort || got.DstPort != c.dstPort {
					t.Errorf("direction %d: %+v", c.r.Direction(), got)
				}
			}
		}
	}
}

// However a masked flow ends, its source rests.
func TestSourcesGoBack(t *testing.T) {
	for name, end := range map[string]func(tab *Table, r Ref){
		"removed": func(tab *Table, r Ref) { tab.Remove(r) },
		"expired": func(tab *Table, _ Ref) { tab.Expire(100_000, 1000) },
		"evicted": func(tab *Table, _ Ref) {
			for n := range 200 {
				tab.Insert(newFlow(1000+2*n, packet.ProtoUDP), 10)
			}
		},
	} {
		tab := newTable(40, 1)
		flow := newMasking(tab, 10).must(t, 0, packet.ProtoUDP)
		end(tab, mustInsert(t, tab, flow, 5))
		k := sourceKey(flow)
		if _, ok := tab.FindReply(&k); ok {
			t.Errorf("%s: found all the same", name)
		}
		if in := tab.Ports.Info(); len(in) != 1 || in[0].Lent != 0 || in[0].Resting != 1 {
			t.Errorf("%s: ports %+v", name, in)
		}
	}
}

func TestRobbing(t *testing.T) {
	tab := newTable(100, 1)
	m := newMasking(tab, 10)
	var all []uint32
	insert := func(n int, proto uint32, now uint32) Ref {
		r := mustInsert(t, tab, m.must(t, n, proto), now)
		all = append(all, r.index())
		return r
	}
	established, first := insert(0, packet.ProtoTCP, 1000), insert(2, packet.ProtoTCP, 5000)
	tab.move(established, TCPEstablished, 1000)
	insert(4, packet.ProtoTCP, 5100)
	insert(6, packet.ProtoUDP, 4900)
	plain := mustInsert(t, tab, newFlow(8, packet.ProtoTCP), 1000)
	all = append(all, plain.index())
	if i, ok := tab.Idlest(all, 5000+handshake-1); ok {
		t.Errorf("flow %d of %v may lose its source within a handshake", i, all)
	}
	i, ok := tab.Idlest(all, 5200+handshake)
	if !ok || i != first.index() {
		t.Errorf("the first is record %d, %v, want %d", i, ok, first.index())
	}
	port := tab.flows[i].port[source]
	l, ok := tab.Rob(i, 5200+handshake)
	if !ok || l.Port != port || tab.Flow(first).Live() {
		t.Errorf("lease %+v, %v, live %v", l, ok, tab.Flow(first).Live())
	}
	if _, ok := tab.Rob(i, 5200+handshake); ok {
		t.Error("robbed twice")
	}
	if _, ok := tab.Rob(established.index(), 1<<30); ok {
		t.Error("an established flow was robbed")
	}
	if s := tab.Stats(); s.EvictedEmbryonic != 1 || s.Total() != 4 {
		t.Errorf("%+v", s)
	}
	tab.check(t)
}

// Of a client's end there is one masked flow to each backend, also where a chain of the
// index is too short for all.
func TestScatteredMaskedFlows(t *testing.T) {
	tab := newTable(1000, 1)
	m := newMasking(tab, 10)
	const backends = 3 * maxChain
	scattered := func(id int) *NewFlow {
		f := m.must(t, 0, packet.ProtoUDP)
		f.BackendID, f.Scattered = uint32(id), true
		f.Source.Cancel()
		g := tab.Ports.Group(snat.Key{Remote: packet.AddrFromLow(uint32(id) + 10), Port: 1, Proto: packet.ProtoUDP}, sources, m.ports)
		l, _ := g.Take(1, 1)
		f.Source = &l
		return f
	}
	var refs []Ref
	for id := range backends {
		refs = append(refs, mustInsert(t, tab, scattered(id), 5))
	}
	for id, want := range refs {
		again := scattered(id)
		if r, out := tab.Insert(again, 5); out != Exists || r != want {
			t.Errorf("backend %d: outcome %d, %v, want %v", id, out, r, want)
		}
		again.Source.Cancel()
		if r, ok := tab.FindScattered(again.Key, uint32(id)); !ok || r != want {
			t.Errorf("backend %d: %v, %v, want %v", id, r, ok, want)
		}
	}
	for id, r := range refs {
		tab.Remove(r)
		if _, ok := tab.FindScattered(newFlow(0, packet.ProtoUDP).Key, uint32(id)); ok {
			t.Errorf("backend %d: found after it was removed", id)
		}
	}
	tab.check(t)
	for _, in := range tab.Ports.Info() {
		if in.Lent != 0 {
			t.Errorf("%d ports are lent", in.Lent)
		}
	}
}

// Workers begin, look up, rob and end masked flows at once, with few ports that come back
// soon: of those that are left no two have one end, and each is found by its replies.
func TestWorkersShareSources(t *testing.T) {
	const workers, rounds = 4, 3000
	tab := newTable(4000, workers)
	m := newMasking(tab, 30)
	var now atomic.Uint32
	var wg, side sync.WaitGroup
	var stop atomic.Bool
	var found, robbed atomic.Uint32
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(w)))
			mine := map[int]*NewFlow{} // by number, of this worker's own clients
			for range rounds {
				tab.Grace.Quiescent(w)
				now.Add(50) // by who works, or it would stand still where the CPUs are busy
				n := (rng.IntN(200)*workers + w) * 2
				if flow, ok := mine[n]; ok {
					k := sourceKey(flow)
					if _, ok := tab.answered(&k, flow); ok {
						found.Add(1)
					}
					if r, ok := tab.Find(flow.Key, Request); ok && rng.IntN(3) == 0 {
						tab.Remove(r)
						delete(mine, n)
					}
					continue
				}
				flow, ok := m.flow(n, packet.ProtoTCP)
				if !ok {
					g := tab.Ports.Group(snat.Key{Remote: flow.Backend, Port: flow.BackendPort, Proto: packet.ProtoTCP}, sources, m.ports)
					var sample [8]uint32
					i, some := tab.Idlest(sample[:g.Sample(rng.Uint64(), flow.BackendPort, sample[:])], now.Load())
					if !some {
						continue
					}
					l, ok := tab.Rob(i, now.Load())
					if !ok {
						continue
					}
					robbed.Add(1)
					flow.Source = &l
				}
				if _, out := tab.Insert(flow, now.Load()); out != Inserted {
					flow.Source.Cancel()
					continue
				}
				mine[n] = flow
			}
			tab.Grace.Offline(w)
		})
	}
	side.Go(func() {
		for !stop.Load() {
			tab.Expire(now.Load(), 64)
		}
	})
	wg.Wait()
	stop.Store(true)
	side.Wait()
	tab.check(t)
	ends := map[packet.Key]bool{}
	tab.Range(now.Load(), func(in Info) bool {
		k := packet.Key{Src: packet.AddrFromLow(in.BackendID), Dst: in.Source, DstPort: in.SourcePort}
		if ends[k] {
			t.Errorf("two flows to backend %d have port %d", in.BackendID, in.SourcePort)
		}
		ends[k] = true
		flow := newFlow(0, packet.ProtoTCP)
		flow.Backend[15] = byte(in.BackendID)
		k = packet.Key{Src: flow.Backend, Dst: in.Source, SrcPort: flow.BackendPort, DstPort: in.SourcePort, Proto: packet.ProtoTCP}
		if r, ok := tab.answered(&k, flow); !ok || tab.key(r^1) != in.Key {
			t.Errorf("a reply to port %d of backend %d is not that flow's", in.SourcePort, in.BackendID)
		}
		return true
	})
	lent := 0
	for _, in := range tab.Ports.Info() {
		lent += in.Lent
	}
	if n := tab.Stats().Total(); n != lent {
		t.Errorf("%d ports are lent for %d flows", lent, n)
	}
	if found.Load() == 0 || robbed.Load() == 0 {
		t.Errorf("found %d, robbed %d: the test did not stress what it is for", found.Load(), robbed.Load())
	}
}

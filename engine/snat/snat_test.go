package snat

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

var (
	source1, source2 = addr("10.0.0.5"), addr("10.0.0.6")
	backend1         = Key{Remote: addr("10.0.0.11"), Port: 8080, Proto: packet.ProtoTCP}
	backend2         = Key{Remote: addr("10.0.0.12"), Port: 8080, Proto: packet.ProtoTCP}
)

// few is a range of n ports.
func few(n int) *Ports { return NewPorts(Range{2000, uint16(2000 + n - 1)}, Range{}) }

func mustTake(t *testing.T, g *Group, hash uint64) Lease {
	t.Helper()
	l, ok := g.Take(hash, 8080)
	if !ok {
		t.Fatal("no port")
	}
	return l
}

// after has so much time pass, in steps as the engine's.
func (s *Pools) after(d time.Duration) {
	for end := s.now.Load() + uint32(d.Milliseconds()); s.now.Load() != end; {
		s.Reap(min(s.now.Load()+100, end))
	}
}

func TestEveryPortOfEveryAddressIsLentOnce(t *testing.T) {
	for name, ports := range map[string]*Ports{
		"few": few(10), "one": few(1), "pages": NewPorts(Range{1024, 65535}, Range{32768, 60999}), "odd": NewPorts(Range{1000, 3100}, Range{1500, 1600}),
	} {
		t.Run(name, func(t *testing.T) {
			s := NewPools()
			g := s.Group(backend1, []packet.Addr{source1, source2}, ports)
			type end struct {
				a packet.Addr
				p uint16
			}
			lent := map[end]bool{}
			r := rand.New(rand.NewPCG(1, 1))
			for range 2 * ports.Len() {
				l := mustTake(t, g, r.Uint64())
				if lent[end{l.Source, l.Port}] {
					t.Fatalf("port %d of %v was lent twice", l.Port, l.Source.Netip())
				}
				lent[end{l.Source, l.Port}] = true
			}
			if l, ok := g.Take(r.Uint64(), 8080); ok {
				t.Fatalf("port %d is lent beyond all", l.Port)
			}
			if l, ok := s.Group(backend2, []packet.Addr{source1}, ports).Take(1, 8080); !ok {
				t.Error("another backend has no port")
			} else if l.Cancel(); l.Source != source1 {
				t.Errorf("from %v", l.Source.Netip())
			}
		})
	}
}

// What a flow sends from before a restart is, for nearly all, what it sends from after.
func TestTheHashSaysThePort(t *testing.T) {
	hashes := make([]uint64, 500)
	r := rand.New(rand.NewPCG(2, 2))
	for i := range hashes {
		hashes[i] = r.Uint64()
	}
	lend := func() map[uint64]Lease {
		g := NewPools().Group(backend1, []packet.Addr{source1, source2}, NewPorts(Range{1024, 65535}, Range{32768, 60999}))
		got := map[uint64]Lease{}
		for _, h := range hashes {
			l := mustTake(t, g, h)
			l.pool = nil
			got[h] = l
		}
		return got
	}
	before := lend()
	r.Shuffle(len(hashes), func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
	same := 0
	for h, l := range lend() {
		if l == before[h] {
			same++
		}
	}
	if same < len(hashes)*3/4 {
		t.Errorf("only %d of %d have the port that they had", same, len(hashes))
	}
}

func TestPortsRest(t *testing.T) {
	s := NewPools()
	s.Reap(1000)
	g := s.Group(backend1, []packet.Addr{source1}, few(4))
	l := mustTake(t, g, 1)
	l.Bind(7)
	s.Release(l.Pool(), l.Port)
	s.after(Rest - time.Second)
	for range 3 {
		if m := mustTake(t, g, 1); m.Port == l.Port {
			t.Fatal("lent while it rests")
		}
	}
	s.after(2 * time.Second)
	if m := mustTake(t, g, 1); m.Port != l.Port {
		t.Errorf("port %d, want %d, which has rested", m.Port, l.Port)
	}
}

// Where none is free, those come back sooner; but not at once.
func TestShortRest(t *testing.T) {
	s := NewPools()
	s.Reap(1000)
	g := s.Group(backend1, []packet.Addr{source1}, few(2))
	a, b := mustTake(t, g, 1), mustTake(t, g, 1)
	s.Release(a.Pool(), a.Port)
	for s.now.Load() < 1000+uint32(ShortRest.Milliseconds())-100 {
		if _, ok := g.Take(1, 8080); ok {
			t.Fatalf("lent after %d ms of rest", s.now.Load()-1000)
		}
		s.after(100 * time.Millisecond)
	}
	_, _ = g.Take(1, 8080)
	s.after(200 * time.Millisecond)
	if l := mustTake(t, g, 1); l.Port != a.Port || l.Port == b.Port {
		t.Errorf("port %d, want %d", l.Port, a.Port)
	}
}

func TestAnswersFindTheFlow(t *testing.T) {
	s := NewPools()
	l := mustTake(t, s.Group(backend1, []packet.Addr{source1}, few(4)), 1)
	reply := packet.Key{Src: backend1.Remote, Dst: l.Source, SrcPort: 8080, DstPort: l.Port, Proto: packet.ProtoTCP}
	if _, ok := s.Find(&reply); ok {
		t.Error("found before there is a flow")
	}
	l.Bind(7)
	if flow, ok := s.Find(&reply); !ok || flow != 7 {
		t.Errorf("flow %d, %v", flow, ok)
	}
	for what, change := range map[string]func(k *packet.Key){
		"port":        func(k *packet.Key) { k.DstPort++ },
		"far port":    func(k *packet.Key) { k.DstPort += 30000 },
		"source":      func(k *packet.Key) { k.Dst = source2 },
		"remote":      func(k *packet.Key) { k.Src = backend2.Remote },
		"remote port": func(k *packet.Key) { k.SrcPort++ },
		"protocol":    func(k *packet.Key) { k.Proto = packet.ProtoUDP },
	} {
		k := reply
		change(&k)
		if _, ok := s.Find(&k); ok {
			t.Errorf("found by another %s", what)
		}
	}
	s.Release(l.Pool(), l.Port)
	if _, ok := s.Find(&reply); ok {
		t.Error("found while the port rests")
	}
}

// One service names a backend by address and port, another by its address alone.
func TestOverlap(t *testing.T) {
	s := NewPools()
	any := backend1
	any.Port = 0
	sources := []packet.Addr{source1}
	one, all := s.Group(backend1, sources, few(4)), s.Group(any, sources, few(4))
	seen := map[uint16]bool{}
	for i := range 4 {
		g := one
		if i%2 == 1 {
			g = all
		}
		l := mustTake(t, g, uint64(i))
		if seen[l.Port] {
			t.Fatalf("port %d is lent twice towards one end", l.Port)
		}
		seen[l.Port] = true
		l.Bind(uint32(i))
		k := packet.Key{Src: backend1.Remote, Dst: l.Source, SrcPort: 8080, DstPort: l.Port, Proto: packet.ProtoTCP}
		if flow, ok := s.Find(&k); !ok || flow != uint32(i) {
			t.Errorf("an answer to flow %d finds %d, %v", i, flow, ok)
		}
	}
	for _, g := range []*Group{one, all} {
		if l, ok := g.Take(1, 8080); ok {
			t.Errorf("port %d is lent beyond all", l.Port)
		}
	}
	if _, ok := all.Take(1, 9090); !ok {
		t.Error("nothing to another port of the remote, which nobody talks to")
	}
}

func TestFamilies(t *testing.T) {
	g := NewPools().Group(backend1, []packet.Addr{addr("2001:db8::5"), source1}, few(4))
	if l := mustTake(t, g, 0); l.Source != source1 {
		t.Errorf("an IPv4 backend is talked to from %v", l.Source.Netip())
	}
	if _, ok := NewPools().Group(backend1, []packet.Addr{addr("2001:db8::5")}, few(4)).Take(0, 8080); ok {
		t.Error("an IPv4 backend is talked to from an IPv6 address")
	}
}

func TestIdlePoolsAreTakenDown(t *testing.T) {
	s := NewPools()
	g := s.Group(backend1, []packet.Addr{source1}, few(4))
	l := mustTake(t, g, 1)
	s.after(time.Second)
	s.Reap(s.now.Load() + uint32((2 * idleFor).Milliseconds()))
	if n := len(s.Info()); n != 1 {
		t.Fatalf("%d pools while a port is lent", n)
	}
	s.Release(l.Pool(), l.Port)
	s.after(Rest + time.Second)
	s.Reap(s.now.Load() + uint32((idleFor + time.Second).Milliseconds()))
	if n := len(s.Info()); n != 0 {
		t.Fatalf("%d pools when nothing was lent for long", n)
	}
	m := mustTake(t, g, 1) // by who has the old one
	m.Bind(3)
	k := packet.Key{Src: backend1.Remote, Dst: m.Source, SrcPort: 8080, DstPort: m.Port, Proto: packet.ProtoTCP}
	if flow, ok := s.Find(&k); !ok || flow != 3 {
		t.Error("a pool that is there again does not find its flow")
	}
	if n := len(s.Info()); n != 1 {
		t.Errorf("%d pools", n)
	}
}

func TestInfo(t *testing.T) {
	s := NewPools()
	g := s.Group(backend1, []packet.Addr{source1}, few(4))
	a := mustTake(t, g, 1)
	mustTake(t, g, 2)
	s.Release(a.Pool(), a.Port)
	c := mustTake(t, g, 3)
	c.Cancel()
	in := s.Info()
	if len(in) != 1 || in[0].Lent != 1 || in[0].Resting != 1 || in[0].Source != source1 {
		t.Errorf("%+v", in)
	}
}

// Workers take and remove at once, by two overlapping pools; the ports are few, so that they
// meet. The oracle is a lock.
func TestNoPortTwiceAtATime(t *testing.T) {
	s := NewPools()
	any := backend1
	any.Port = 0
	const workers, rounds = 4, 5000
	var mu sync.Mutex
	lent := map[uint16]int{}
	var all sync.WaitGroup
	done := make(chan struct{})
	for w := range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(w)))
			k := backend1
			if w%2 == 1 {
				k = any
			}
			g := s.Group(k, []packet.Addr{source1}, few(40))
			var mine []Lease
			for range rounds {
				if len(mine) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(mine))
					l := mine[i]
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
					mu.Lock()
					lent[l.Port]--
					mu.Unlock()
					if r.IntN(4) == 0 {
						l.Cancel()
					} else {
						s.Release(l.Pool(), l.Port)
					}
					continue
				}
				l, ok := g.Take(r.Uint64(), 8080)
				if !ok {
					continue
				}
				mu.Lock()
				if lent[l.Port]++; lent[l.Port] != 1 {
					t.Errorf("port %d is lent %d times", l.Port, lent[l.Port])
				}
				mu.Unlock()
				mine = append(mine, l)
			}
			for _, l := range mine {
				mu.Lock()
				lent[l.Port]--
				mu.Unlock()
				s.Release(l.Pool(), l.Port)
			}
		})
	}
	go func() {
		defer close(done)
		all.Wait()
	}()
	now := uint32(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			now += 1000
			s.Reap(now)
		}
	}
	s.Reap(now + uint32(2*Rest.Milliseconds()))
	for _, p := range s.list() {
		if n := p.used.Load(); n != 0 {
			t.Errorf("%d ports of a pool are in use when nobody has one", n)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for name, used := range map[string]int{"empty": 0, "half": 32000, "nearly full": 60000} {
		b.Run(name, func(b *testing.B) {
			s := NewPools()
			g := s.Group(backend1, []packet.Addr{source1}, NewPorts(Range{1024, 65535}, Range{32768, 60999}))
			r := rand.New(rand.NewPCG(4, 4))
			for range used {
				_, _ = g.Take(r.Uint64(), 8080)
			}
			for b.Loop() {
				l, ok := g.Take(r.Uint64(), 8080)
				if !ok {
					b.Fatal("no port")
				}
				l.Cancel()
			}
		})
	}
}

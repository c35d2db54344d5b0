package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// load is a harness with so many known flows and a template frame of each kind.
type load struct {
	*harness
	frame []byte
	flows int
	order []uint32 // flow numbers in random order
	next  int
}

func newLoad(t testing.TB, mode balancer.Mode, vip string, flows int) *load {
	s := service("web", vip, mode, 4)
	if mode == balancer.FullNAT {
		s = fullnatService("web", vip, 4, 1)
		s.SnatPorts = balancer.Ports{First: 1024, Last: balancer.MaxPort}
	}
	s.Protocol = balancer.UDP
	h := newSizedHarness(t, 1, 6*flows, 2*batchSize, s) // unevenly filled shards must not evict
	h.kernels[0].Record(false)
	client := client4
	if mode == balancer.NAT && vip == vip6 || vip == vip6 {
		client = client6
	}
	f := packettest.UDP(client, vip, "")
	f.NoChecksum = f.Is4()
	l := &load{harness: h, frame: f.Bytes(), flows: flows}
	for i := range flows {
		l.order = append(l.order, uint32(i))
	}
	rand.Shuffle(flows, func(i, j int) { l.order[i], l.order[j] = l.order[j], l.order[i] })
	for range (flows + batchSize - 1) / batchSize {
		l.batch()
	}
	return l
}

// batch delivers a batch and runs the worker over it.
func (l *load) batch() {
	l.deliver()
	if n, err := l.engine.workers[0].pass(); n != batchSize || err != nil {
		l.t.Fatalf("pass handled %d packets, %v", n, err)
	}
}

// deliver puts a batch on the RX ring, in place.
func (l *load) deliver() {
	k := l.kernels[0]
	for range batchSize {
		b := k.Buffer()
		if b == nil {
			l.t.Fatal("no frame to receive into")
		}
		copy(b, l.frame)
		n := l.order[l.next]
		if l.next++; l.next == l.flows {
			l.next = 0
		}
		port, low := b[34:36], b[27:30]
		if b[12] == 0x86 {
			port, low = b[54:56], b[35:38]
		}
		port[0], port[1] = byte(n>>8)|0x80, byte(n)
		low[0], low[1], low[2] = byte(n>>23), byte(n>>15), 1
		k.Push(len(l.frame))
	}
	k.Publish()
}

// loadModes are all that a known flow's packets may go by.
var loadModes = []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR, balancer.IPIP, balancer.GUE, balancer.GRE}

func TestKnownFlowsAllocateNothing(t *testing.T) {
	for _, mode := range loadModes {
		for _, vip := range []string{vip4, vip6} {
			l := newLoad(t, mode, vip, 1000)
			for range 100 {
				l.batch()
			}
			misses := l.engine.workers[0].count.Misses
			if n := testing.AllocsPerRun(500, l.batch); n != 0 {
				t.Errorf("%v %s: %v allocations a batch", mode, vip, n)
			}
			// Two flows of one tag in one set push each other out: once in 500 times there are such.
			const few = 3 * 2 * (501*batchSize/1000 + 1)
			if got := l.engine.workers[0].count.Misses; got-misses > few {
				t.Errorf("%v %s: %d packets of known flows took the slow path", mode, vip, got-misses)
			}
			if w := l.engine.workers[0]; w.count.Verdicts[packet.Forwarded] != w.count.Received {
				t.Errorf("%v %s: %v", mode, vip, l.verdicts(0))
			}
		}
	}
}

// BenchmarkKnownFlows is the whole pass of a worker over packets of known flows in
// random order, 64-byte frames; the fake kernel's part is in the figure.
func BenchmarkKnownFlows(b *testing.B) {
	for _, mode := range loadModes {
		for _, vip := range []string{vip4, vip6} {
			for _, flows := range []int{1000, 100_000} {
				b.Run(fmt.Sprintf("%v/%s/%d", mode, family(vip), flows), func(b *testing.B) {
					l := newLoad(b, mode, vip, flows)
					b.ReportAllocs()
					b.ResetTimer()
					for b.Loop() {
						l.batch()
					}
					perPacket(b)
				})
			}
		}
	}
}

func family(vip string) string {
	if vip == vip4 {
		return "ipv4"
	}
	return "ipv6"
}

func perPacket(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/packet")
}

// BenchmarkNewFlows is the slow path: every packet is a new flow, and from the
// moment that the table is full each pushes an old one out.
func BenchmarkNewFlows(b *testing.B) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT} {
		for _, vip := range []string{vip4, vip6} {
			b.Run(fmt.Sprintf("%v/%s", mode, family(vip)), func(b *testing.B) {
				l := newLoad(b, mode, vip, 1000)
				l.flows = 1 << 20
				l.order = make([]uint32, l.flows)
				for i := range l.order {
					l.order[i] = uint32(i)
				}
				b.ResetTimer()
				for b.Loop() {
					l.batch()
				}
				perPacket(b)
				b.ReportMetric(float64(l.engine.flows.Stats().Flows[conntrack.UDPNew]), "flows")
			})
		}
	}
}

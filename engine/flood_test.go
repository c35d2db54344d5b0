package engine

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

// Each of a million SYNs, all from sources of their own, is handled and makes a flow, if
// it can: of a thousand connections of each kind that go on meanwhile none is moved. It is the
// flood of cmd/afxlb's TestFieldSYNFlood without a kernel's ring in which most of it ends.
func TestSYNFlood(t *testing.T) {
	sources, connections, limit := uint32(1_000_000), 1000, 1_000_000
	if testutil.Race {
		sources, connections, limit = 40_000, 100, 40_000
	}
	services := []balancer.ServiceSpec{
		service("nat", "192.0.2.10:80", balancer.NAT, 3), service("dsr", "192.0.2.11:80", balancer.DSR, 3),
		fullnatService("fullnat", "192.0.2.12:80", 3, 1), tunnelService("192.0.2.13:80", balancer.IPIP, 3, own4),
	}
	services[2].SnatPorts = balancer.Ports{First: 2000, Last: 20_000} // fewer than SYNs would have
	h := newSizedHarness(t, 1, limit, 2*batchSize, services...)
	k, w := h.kernels[0], h.engine.workers[0]
	type connection struct {
		data packettest.Frame
		to   packet.MAC
	}
	var list []connection
	for i := range connections {
		for _, s := range services {
			f := packettest.TCP(fmt.Sprintf("198.51.100.%d:%d", 1+i%200, 2000+i), fmt.Sprintf("%v:80", s.Address), packet.TCPSyn)
			out := h.raw(f)
			if s.Mode.Traits().RepliesReturn {
				h.one(0, replyTo(packettest.Verify(t, out), packet.TCPSyn|packet.TCPAck))
			}
			c := connection{ack(f), packet.MAC(out[:6])}
			h.goesTo(c.data, c.to)
			list = append(list, c)
		}
	}
	syn := packettest.TCP("20.0.0.1:1", "192.0.2.10:80", packet.TCPSyn).Bytes()
	for n := uint32(0); n < sources; {
		k.Record(false)
		for range batchSize {
			b := k.Buffer()
			copy(b, syn)
			mixed := n * 0x9e3779b1 // odd: no two become one
			binary.BigEndian.PutUint32(b[26:], 20<<24|mixed>>9)
			binary.BigEndian.PutUint16(b[34:], 1024+uint16(mixed&0x1ff))
			b[33] = 10 + byte(n%4)
			k.Push(len(syn))
			n++
		}
		k.Publish()
		if got, err := w.pass(); got != batchSize || err != nil {
			t.Fatalf("%d SYNs were handled, %v", got, err)
		}
		k.Record(true)
		if i := int(n/batchSize) % (20 * len(list)); i < len(list) {
			h.goesTo(list[i].data, list[i].to)
		}
	}
	for _, c := range list {
		h.goesTo(c.data, c.to)
	}
	h.check(0)
	s := h.engine.flows.Stats()
	t.Logf("%+v %v", s, h.verdicts(0))
	if s.EvictedEstablished != 0 || s.Inserted < uint64(sources/2) || s.EvictedEmbryonic == 0 {
		t.Errorf("%+v: %d established flows had to go for %d new ones", s, s.EvictedEstablished, s.Inserted)
	}
}

// goesTo delivers a frame, which must leave for a MAC address.
func (h *harness) goesTo(f packettest.Frame, mac packet.MAC) {
	h.t.Helper()
	if out := h.raw(f); packet.MAC(out[:6]) != mac {
		h.t.Fatalf("%v → %v has left for %v, want %v", f.Src, f.Dst, packet.MAC(out[:6]), mac)
	}
}

package engine

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// datagramServices is a UDP service of each mode and family, some of them behind a link that
// takes less than the clients'.
func datagramServices(t testing.TB) *harness {
	full4, full6 := fullnatService("full4", "192.0.2.12:53", 2, 1000), fullnatService("full6", "[2001:db8:2::12]:53", 2, 1000)
	full4.Protocol, full6.Protocol = balancer.UDP, balancer.UDP
	h := newHarness(t, 3, datagramService("nat4", "192.0.2.10:53", balancer.NAT, 2), datagramService("nat6", "[2001:db8:2::10]:53", balancer.NAT, 2),
		datagramService("dsr4", "192.0.2.11:53", balancer.DSR, 2), datagramService("dsr6", "[2001:db8:2::11]:53", balancer.DSR, 2), full4, full6)
	for i := range h.spec.Services {
		if s := &h.spec.Services[i]; s.Mode != balancer.NAT {
			h.narrow(s, 1300)
		}
	}
	return h
}

// Fragments of all kinds, of which some are damaged, come again, overlap or are forged, and the
// time that passes between them: each is counted once, none is kept and no frame is lost.
func TestRandomFragments(t *testing.T) {
	h := datagramServices(t)
	r := rand.New(rand.NewPCG(8, 8))
	var list [][]byte
	for i := range uint16(60) {
		s := &h.spec.Services[r.IntN(len(h.spec.Services))]
		src := "198.51.100.7"
		if s.Address.Is6() {
			src = "2001:db8:100::7"
		}
		f := big(netip.AddrPortFrom(netip.MustParseAddr(src), 1024+i%8).String(), netip.AddrPortFrom(s.Address, 53).String(), 1000+r.IntN(5000), i%16)
		if r.IntN(6) == 0 {
			f = packettest.Echo(src, s.Address.String(), i)
			f.Payload = make([]byte, 3000)
		}
		if r.IntN(6) == 0 { // from a backend, to whoever that is
			f.Src, f.Dst = netip.AddrPortFrom(s.Backends[0].Address, f.Dst.Port()), f.Src
		}
		if f.VLANs = nil; r.IntN(4) == 0 {
			f.VLANs = []uint16{7}
		}
		list = append(list, packettest.Fragments(f.Bytes(), uint32(i%16), 8*(20+r.IntN(160)))...)
	}
	tiny := packettest.TCP(client4, "192.0.2.10:53", packet.TCPAck)
	list = append(list, packettest.Fragments(tiny.Bytes(), 0, 8)...)
	far := packettest.Fragments(big(client4, "192.0.2.10:53", 1000, 99).Bytes(), 0, 800)[1]
	far[20], far[21] = 0x1f, 0xff
	packettest.Resize(far)
	list = append(list, far)
	delivered := uint64(0)
	for range 4000 {
		b := bytes.Clone(list[r.IntN(len(list))])
		switch r.IntN(8) {
		case 0:
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		case 1:
			b = b[:14+r.IntN(len(b)-14)]
		}
		h.passRaw(r.IntN(3), b)
		delivered++
		if r.IntN(50) == 0 {
			h.later(patience / 3)
		}
		if r.IntN(10) == 0 {
			w := h.engine.workers[r.IntN(3)]
			w.expire()
			h.check(w.id)
		}
	}
	h.later(patience)
	counted := uint64(0)
	for queue, w := range h.engine.workers {
		h.passRaw(queue, list[0][:10]) // whatever is ready still
		w.expire()
		h.check(queue)
		counted += w.count.Received
	}
	if n := h.engine.fragments.Held(); n != 0 {
		t.Errorf("%d are held", n)
	}
	if delivered += 3; counted < delivered { // more, for packets that were cut
		t.Errorf("%d of %d are counted", counted, delivered)
	}
	for _, v := range []packet.Verdict{packet.Forwarded, packet.Replied, packet.DropFragment, packet.DropTiny, packet.DropOverlap, packet.DropOverflow, packet.DropOrphan, packet.DropMalformed} {
		if h.counted(v) == 0 {
			t.Errorf("none ended as %v: the traffic is not what this test wants", v)
		}
	}
}

// Workers that have the fragments of the same packets at the same time: each packet is put
// together again, by one name and to one backend.
func TestFragmentsOnWorkersAtOnce(t *testing.T) {
	const workers, datagrams = 3, 240
	h := datagramServices(t)
	shares := make([][][]byte, workers)
	var in []packettest.Frame
	for i := range uint16(datagrams) {
		s := &h.spec.Services[int(i)%4] // not full NAT, whose clients the harness has not as many ports for
		src := "198.51.100.7"
		if s.Address.Is6() {
			src = "2001:db8:100::7"
		}
		f := big(netip.AddrPortFrom(netip.MustParseAddr(src), 1024+i).String(), netip.AddrPortFrom(s.Address, 53).String(), 4000+int(i), i)
		in = append(in, f)
		for j, b := range packettest.Fragments(f.Bytes(), uint32(i), 1200) {
			shares[(int(i)+j)%workers] = append(shares[(int(i)+j)%workers], b)
		}
	}
	sent := make([][][]byte, workers)
	var wg sync.WaitGroup
	for queue := range workers {
		wg.Go(func() {
			k, w := h.kernels[queue], h.engine.workers[queue]
			for rest := shares[queue]; len(rest) > 0; {
				w.socket.Recycle()
				rest = rest[k.DeliverAll(rest[:min(len(rest), 3)]):]
				for n := 1; n > 0; {
					var err error
					if n, err = w.pass(); err != nil {
						t.Error(err)
						return
					}
				}
				sent[queue] = append(sent[queue], k.Sent()...)
			}
		})
	}
	wg.Wait()
	var out [][]byte
	for queue := range workers {
		sent[queue] = append(sent[queue], h.passRaw(queue, shares[queue][0][:10])...) // and what is ready still
		out = append(out, sent[queue]...)
	}
	mustBe(t, in, out)
	if n := h.engine.fragments.Held(); n != 0 {
		t.Errorf("%d are held", n)
	}
}

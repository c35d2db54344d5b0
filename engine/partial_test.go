package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// unfinished returns f as a neighbour on the same machine sends it: with the sum of the
// pseudo-header where the checksum belongs.
func unfinished(t *testing.T, f packettest.Frame) []byte {
	t.Helper()
	b := f.Bytes()
	var pseudo []byte
	for _, a := range []netip.Addr{f.Src.Addr(), f.Dst.Addr()} {
		pseudo = append(pseudo, a.AsSlice()...)
	}
	l4 := 34
	if !f.Is4() {
		l4 = 54
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)-l4))
	pseudo = append(pseudo, 0, 0, 0, f.Proto)
	at := map[uint8]int{packet.ProtoTCP: 16, packet.ProtoUDP: 6}[f.Proto]
	binary.BigEndian.PutUint16(b[l4+at:], packettest.Sum(pseudo))
	if _, err := packettest.Check(b); err == nil {
		t.Fatal("its checksum is right")
	}
	return b
}

// oneOf delivers one raw frame, and returns what comes out for it: its checksums are right.
func (h *harness) oneOf(b []byte) packettest.Frame {
	h.t.Helper()
	sent := h.passRaw(0, b)
	if len(sent) != 1 {
		h.t.Fatalf("%d packets came out; verdicts %v", len(sent), h.verdicts(0))
	}
	return packettest.Verify(h.t, sent[0])
}

// Unfinished checksums are finished, all along a flow, and in both directions.
func TestUnfinishedChecksums(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for client, vip := range map[string]string{client4: vip4, client6: vip6} {
			h := newHarness(t, 1, service("web", vip, mode, 1))
			c := &connection{harness: h, client: client, vip: vip, seq: 1000, ack: 5001}
			syn := packettest.TCP(client, vip, packet.TCPSyn)
			syn.Seq = c.seq
			c.backend = h.oneOf(unfinished(t, syn)).Dst.String()
			c.seq++
			want := uint64(1)
			if mode == balancer.NAT {
				answer := c.reply(packet.TCPSyn | packet.TCPAck)
				answer.Seq--
				h.oneOf(unfinished(t, answer))
				want++
			}
			for range 5 {
				data := c.request(packet.TCPAck | packet.TCPPsh)
				data.Payload = []byte("odd")
				// The first of a batch is looked at in any case; and who does it once may
				// do otherwise.
				whole, part := data.Bytes(), unfinished(t, data)
				for _, b := range h.passRaw(0, whole, part, part, whole) {
					packettest.Verify(t, b)
				}
				want += 2
			}
			if n := h.engine.workers[0].count.Completed; n != want {
				t.Errorf("%v, %s: %d checksums were finished, want %d", mode, vip, n, want)
			}
		}
	}
}

// A flow may come to have unfinished checksums in the midst of its life, where an
// administrator or a move of the machine changes that: its first packet in a batch tells.
func TestChecksumsUnfinishedLater(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	c := h.connect(client4, vip4, packettest.ClientMAC)
	data := c.request(packet.TCPAck | packet.TCPPsh)
	data.Payload = []byte("odd")
	h.one(0, data)
	late := unfinished(t, data)
	for _, b := range h.passRaw(0, late, late, data.Bytes(), late) { // in one batch
		packettest.Verify(t, b)
	}
}

// A backend alone may be such a neighbour, and known by its first answer.
func TestUnfinishedChecksumsOfABackend(t *testing.T) {
	udp := service("dns", "192.0.2.10:53", balancer.NAT, 1)
	udp.Protocol, udp.Backends[0].Port = balancer.UDP, 53
	h := newHarness(t, 1, udp)
	for range 3 {
		h.one(0, packettest.UDP(client4, "192.0.2.10:53", "request"))
		h.oneOf(unfinished(t, packettest.UDP("10.0.0.11:53", client4, "answer")))
	}
}

// What is answered, and what goes back to the kernel, is finished as well; damage is not
// mended.
func TestUnfinishedChecksumsElsewhere(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1), service("none", "192.0.2.11:80", balancer.NAT, 0))
	k := h.giveBack(true)
	if out := h.oneOf(unfinished(t, packettest.TCP(client4, "192.0.2.11:80", packet.TCPSyn))); out.Flags&packet.TCPRst == 0 {
		t.Errorf("a SYN was answered by %+v", out)
	}
	dying := packettest.TCP(client4, vip4, packet.TCPSyn)
	dying.TTL = 1
	if out := h.oneOf(unfinished(t, dying)); out.Type != 11 {
		t.Errorf("the last hop was answered by %+v", out)
	}
	h.droppedRaw(0, unfinished(t, packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck)), packet.Punted)
	packettest.Verify(t, k.next())
	damaged := packettest.TCP(client4, vip4, packet.TCPSyn).Bytes()
	damaged[50] ^= 1
	if sent := h.passRaw(0, damaged); len(sent) != 1 {
		t.Fatal("a damaged packet was not passed on")
	} else if _, err := packettest.Check(sent[0]); err == nil {
		t.Error("a damaged packet was mended")
	}
}

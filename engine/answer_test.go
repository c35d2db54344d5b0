package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestEcho(t *testing.T) {
	h := newHarness(t, 1, service("four", vip4, balancer.DSR, 1), service("six", vip6, balancer.NAT, 1))
	for _, c := range []struct {
		src, dst string
		reply    uint8
	}{{"198.51.100.7", "192.0.2.10", 0}, {"2001:db8:100::7", "2001:db8:2::10", 129}} {
		in := packettest.Echo(c.src, c.dst, 77)
		out := h.one(0, in)
		if out.Type != c.reply || out.EchoID != 77 || out.Src != in.Dst || out.Dst != in.Src || out.DstMAC != in.SrcMAC || string(out.Payload) != string(in.Payload) {
			t.Errorf("answer to an echo request: %+v", out)
		}
	}
	if got := h.verdicts(0)["replied"]; got != 2 {
		t.Errorf("replied %d, want 2", got)
	}
}

func TestRefusal(t *testing.T) {
	tcp4, tcp6 := service("four", vip4, balancer.NAT, 0), service("six", vip6, balancer.DSR, 0)
	udp := service("udp", "192.0.2.10:53", balancer.NAT, 0)
	udp.Protocol = balancer.UDP
	h := newHarness(t, 1, tcp4, tcp6, udp)
	for _, c := range []struct{ client, vip string }{{client4, vip4}, {client6, vip6}} {
		in := packettest.TCP(c.client, c.vip, packet.TCPSyn)
		out := h.one(0, in)
		if out.Flags != packet.TCPRst|packet.TCPAck || out.Ack != in.Seq+1 || out.Src != in.Dst || out.Dst != in.Src {
			t.Errorf("answer to a SYN: %+v", out)
		}
	}
	out := h.one(0, packettest.UDP(client4, "192.0.2.10:53", "anyone?"))
	if out.Proto != packet.ProtoICMP || out.Type != 3 || out.Code != 3 {
		t.Errorf("answer to a datagram: %+v", out)
	}
	if n := h.engine.flows.Stats().Inserted; n != 0 {
		t.Errorf("refused packets made %d flows", n)
	}
}

func TestAnswersAreLimited(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 0))
	w := h.engine.workers[0]
	sent := 0
	for range 2 * answersPerSecond / 50 {
		frames := make([]packettest.Frame, 50)
		for i := range frames {
			frames[i] = packettest.TCP(client4, vip4, packet.TCPSyn)
		}
		sent += len(h.pass(0, frames...))
	}
	replied, limited := w.count.Verdicts[packet.Replied], w.count.Verdicts[packet.DropReplyLimit]
	if uint64(sent) != replied || replied < answersPerSecond || limited == 0 {
		t.Errorf("sent %d, replied %d, over the limit %d", sent, replied, limited)
	}
}

// The limit is for answers: a packet that gets none has its own reason, and takes
// nobody's turn.
func TestLimitCountsOnlyAnswers(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 0))
	w := h.engine.workers[0]
	limit := &w.budgets[resets]
	*limit = budget{perSecond: 1, tokens: 1000, at: w.clock.Now(), primed: true} // for one answer
	broken := packettest.TCP(client4, vip4, packet.TCPSyn).Bytes()
	broken[14+20+16] ^= 1 // TCP checksum: nobody would take the answer to that
	for range 10 {
		h.droppedRaw(0, broken, packet.DropNoBackend)
	}
	if limit.tokens < 1000 {
		t.Error("packets without an answer took its turn")
	}
}

// A flood of one kind takes nothing from the others.
func TestFloodOfPingsSilencesNoRefusal(t *testing.T) {
	udp := service("udp", "192.0.2.10:53", balancer.NAT, 0)
	udp.Protocol = balancer.UDP
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 0), udp)
	w := h.engine.workers[0]
	ping := packettest.Echo("198.51.100.7", "192.0.2.10", 1).Bytes()
	for w.count.Verdicts[packet.DropReplyLimit] == 0 {
		h.passRaw(0, ping)
	}
	h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	h.one(0, packettest.UDP(client4, "192.0.2.10:53", "anyone?"))
}

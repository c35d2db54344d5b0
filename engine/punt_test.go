package engine

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/punt"
)

// behind is the kernel of these tests, behind a worker's way back.
type behind struct {
	t  testing.TB
	fd int
}

var deviceMAC = packet.MAC{2, 0, 0, 0, 7, 7}

// giveBack gives the workers a way back to a kernel that forwards or does not.
func (h *harness) giveBack(forwards bool) *behind {
	h.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	d := punt.NewFake(deviceMAC, forwards, pair[0])
	h.t.Cleanup(func() {
		unix.Close(pair[1])
		if err := d.Close(); err != nil {
			h.t.Error(err)
		}
	})
	for _, w := range h.engine.workers {
		w.device, w.arms.devices[w.port] = d, d
	}
	return &behind{h.t, pair[1]}
}

// next returns the next frame that was given back; nil if there is none.
func (b *behind) next() []byte {
	b.t.Helper()
	frame := make([]byte, 2048)
	n, err := unix.Read(b.fd, frame)
	switch err {
	case nil:
		return frame[:n]
	case unix.EAGAIN:
		return nil
	}
	b.t.Fatal(err)
	return nil
}

// punted delivers a frame, and expects it to be given back as it came.
func (h *harness) punted(b *behind, frame []byte) {
	h.t.Helper()
	want := bytes.Clone(frame)
	copy(want, deviceMAC[:])
	h.droppedRaw(0, frame, packet.Punted)
	if got := b.next(); !bytes.Equal(got, want) {
		h.t.Errorf("the kernel has\n%x, want\n%x", got, want)
	}
}

// What a backend sends to somebody with whom it has no flow is the kernel's.
func TestStrays(t *testing.T) {
	tcp, udp := service("web", vip4, balancer.NAT, 1), service("ntp", "192.0.2.10:123", balancer.NAT, 1)
	udp.Protocol, udp.Backends[0].Port = balancer.UDP, 123
	h := newHarness(t, 1, tcp, udp, service("web6", vip6, balancer.NAT, 1))
	k := h.giveBack(true)
	for _, f := range []packettest.Frame{
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPSyn|packet.TCPAck),
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPRst),
		packettest.UDP("10.0.0.11:123", "203.0.113.1:123", "what time is it?"),
		packettest.TCP("[2001:db8:10::11]:8080", client6, packet.TCPAck),
	} {
		h.punted(k, f.Bytes())
	}
	for _, f := range []packettest.Frame{
		packettest.TCP(client4, "192.0.2.99:80", packet.TCPSyn),   // a client's, to a service that is gone
		packettest.TCP("10.0.0.99:8080", client4, packet.TCPAck),  // a backend's that is gone
		packettest.TCP(client4, "198.51.100.9:80", packet.TCPAck), // nobody's
	} {
		h.dropped(0, f, packet.DropNoFlow)
	}
	h.dropped(0, packettest.TCP("10.0.0.11:8080", "192.0.2.10:9999", packet.TCPSyn), packet.DropNoService)
	tagged := packettest.UDP("10.0.0.11:123", "203.0.113.1:123", "tagged")
	tagged.VLANs = []uint16{7}
	h.dropped(0, tagged, packet.DropNoFlow)
	if n := h.engine.flows.Stats().Inserted; n != 0 {
		t.Errorf("strays made %d flows", n)
	}
	if f := k.next(); f != nil {
		t.Errorf("the kernel has %x, too", f)
	}
}

// A client's packet to a service is never given back, be there a backend for it or not.
func TestServiceTrafficNeverLeaks(t *testing.T) {
	none := service("none", "192.0.2.11:80", balancer.NAT, 0)
	none.OnNoBackend = balancer.DropSilently
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2), none)
	k := h.giveBack(true)
	for _, src := range []string{client4, "10.0.0.11:8080", "10.0.0.12:999"} { // backends are clients, too
		for _, dst := range []string{vip4, "192.0.2.11:80", "192.0.2.10:81"} {
			for _, flags := range []uint8{packet.TCPSyn, packet.TCPAck, packet.TCPRst, packet.TCPSyn | packet.TCPAck} {
				h.pass(0, packettest.TCP(src, dst, flags))
			}
			h.pass(0, packettest.UDP(src, dst, "x"))
		}
	}
	if f := k.next(); f != nil || h.verdicts(0)["punted"] != 0 {
		t.Errorf("the kernel has %x; %v", f, h.verdicts(0))
	}
}

// Where the kernel forwards nothing, a backend is told that there is no connection.
func TestStrayIsReset(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1), service("web6", vip6, balancer.NAT, 1))
	k := h.giveBack(false)
	for client, backend := range map[string]string{client4: "10.0.0.11:8080", client6: "[2001:db8:10::11]:8080"} {
		in := packettest.TCP(backend, client, packet.TCPAck)
		out := h.one(0, in)
		if out.Flags != packet.TCPRst || out.Seq != in.Ack || out.Src != in.Dst || out.Dst != in.Src || out.DstMAC != in.SrcMAC {
			t.Errorf("the backend got %+v", out)
		}
	}
	h.dropped(0, packettest.UDP("10.0.0.11:8080", client4, "x"), packet.DropNoFlow)
	if f := k.next(); f != nil {
		t.Errorf("the kernel has %x", f)
	}
	w := h.engine.workers[0]
	w.budgets[backendResets] = budget{perSecond: 1, primed: true, at: w.now} // it is used up
	h.dropped(0, packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck), packet.DropReplyLimit)
}

func TestPuntLimits(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	k := h.giveBack(true)
	w := h.engine.workers[0]
	stray := packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck)
	w.budgets[punts] = budget{perSecond: 1, primed: true, at: w.clock.Now(), tokens: 1000}
	h.punted(k, stray.Bytes())
	h.dropped(0, stray, packet.DropPuntLimit)
	w.budgets = newBudgets()
	if err := unix.Shutdown(k.fd, unix.SHUT_RDWR); err != nil { // as when the device is down
		t.Fatal(err)
	}
	h.dropped(0, stray, packet.DropPuntFailed)
}

// icmpError is what a host sends to src about a packet of its, which f is.
func icmpError(src, dst string, kind uint8, f packettest.Frame) packettest.Frame {
	e := packettest.Echo(src, dst, 0)
	e.Type, e.Code, e.EchoSeq, e.Payload = kind, 3, 0, f.Bytes()[14:]
	return e
}

// ICMP errors about a service stay here; those about no flow are the kernel's.
func TestStrayICMPErrors(t *testing.T) {
	udp, udp6 := service("dns", "192.0.2.10:53", balancer.NAT, 1), service("dns6", "[2001:db8:2::10]:53", balancer.NAT, 1)
	for _, s := range []*balancer.ServiceSpec{&udp, &udp6} {
		s.Protocol, s.Backends[0].Port = balancer.UDP, 53
	}
	h := newHarness(t, 1, udp, udp6)
	k := h.giveBack(true)
	const backend, backend6 = "10.0.0.11", "2001:db8:10::11"
	for _, e := range []packettest.Frame{
		icmpError("198.51.100.9", "192.0.2.10", 3, packettest.UDP("192.0.2.10:53", "198.51.100.9:4000", "of the service")),
		icmpError("203.0.113.1", "198.51.100.9", 11, packettest.UDP("198.51.100.9:4000", "192.0.2.10:53", "to the service")),
		icmpError("203.0.113.1", "198.51.100.9", 11, packettest.UDP("198.51.100.9:4000", "10.0.0.99:53", "to nobody of ours")),
	} {
		h.dropped(0, e, packet.DropICMP)
	}
	h.punted(k, bytesOf(icmpError(backend, "198.51.100.7", 3, packettest.UDP("198.51.100.7:4001", "10.0.0.11:53", "direct"))))
	h.punted(k, bytesOf(icmpError("203.0.113.1", "198.51.100.9", 11, packettest.UDP("198.51.100.9:4000", "10.0.0.11:53", "direct"))))
	h.punted(k, bytesOf(icmpError(backend6, "2001:db8:100::9", 4, packettest.UDP("[2001:db8:100::9]:4000", "[2001:db8:10::11]:53", "direct"))))
	cut := icmpError(backend, "198.51.100.7", 3, packettest.UDP("198.51.100.7:4001", "10.0.0.11:53", ""))
	cut.Payload = cut.Payload[:22]
	h.dropped(0, cut, packet.DropICMP)
	h.giveBack(false)
	h.dropped(0, icmpError(backend, "198.51.100.7", 3, packettest.UDP("198.51.100.7:4001", "10.0.0.11:53", "direct")), packet.DropICMP)
}

func bytesOf(f packettest.Frame) []byte { return f.Bytes() }

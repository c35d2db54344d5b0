package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// datagramService is service for UDP.
func datagramService(name, vip string, mode balancer.Mode, backends int) balancer.ServiceSpec {
	s := service(name, vip, mode, backends)
	if mode == balancer.FullNAT {
		s = fullnatService(name, vip, backends, 100)
	}
	s.Protocol = balancer.UDP
	return s
}

// big returns a datagram of so many bytes of payload, with an identification of its own.
func big(src, dst string, n int, id uint16) packettest.Frame {
	f := packettest.UDP(src, dst, "")
	f.ID, f.Payload = id, make([]byte, n)
	for i := range f.Payload {
		f.Payload[i] = byte(i * 7)
	}
	return f
}

// cut returns the fragments of f on a link with Ethernet's MTU.
func cut(f packettest.Frame) [][]byte {
	return packettest.Fragments(f.Bytes(), uint32(f.ID)<<16|7, 1400)
}

// spread delivers each frame on the queue that is named for it, and returns all that comes
// out, whichever queue it comes by.
func (h *harness) spread(frames [][]byte, queue func(i int) int) (out [][]byte) {
	h.t.Helper()
	for i, f := range frames {
		out = append(out, h.passRaw(queue(i), f)...)
	}
	return out
}

// assembled puts what came out together, and returns it decoded; its checksums are right.
func assembled(t testing.TB, out [][]byte) packettest.Frame {
	t.Helper()
	b, err := packettest.Assemble(out)
	if err != nil {
		t.Fatal(err)
	}
	return packettest.Verify(t, b)
}

// mustBe holds that the fragments in out are those of as many datagrams as went in, and that
// each of these is put together again.
func mustBe(t *testing.T, in []packettest.Frame, out [][]byte) {
	t.Helper()
	type name struct {
		src, dst packet.Addr
		id       uint32
	}
	by := map[name][][]byte{}
	for _, b := range out {
		var got packet.Packet
		packet.Parse(b, &got)
		at, _ := got.Place(b)
		n := name{got.Key.Src, got.Key.Dst, at.ID}
		by[n] = append(by[n], b)
	}
	if len(by) != len(in) {
		t.Errorf("%d datagrams became %d", len(in), len(by))
	}
	for _, list := range by {
		got := assembled(t, list)
		if !slices.ContainsFunc(in, func(f packettest.Frame) bool { return f.Src == got.Src && bytes.Equal(got.Payload, f.Payload) }) {
			t.Errorf("one from %v, of %d bytes, is none that came", got.Src, len(got.Payload))
		}
	}
}

// counted sums up what all workers have counted as v.
func (h *harness) counted(v packet.Verdict) (n uint64) {
	for _, w := range h.engine.workers {
		n += w.count.Verdicts[v]
	}
	return n
}

// Packets in fragments become what whole ones become, in every mode, both directions,
// whatever order and whichever queues the fragments come in.
func TestFragmentsFollowTheFirst(t *testing.T) {
	orders := map[string]func([][]byte){
		"in order": func([][]byte) {}, "backwards": slices.Reverse[[][]byte],
		"the first one last": func(f [][]byte) { copy(f, append(slices.Clone(f[1:]), f[0])) },
	}
	queues := map[string]func(int) int{
		"one queue": func(int) int { return 0 }, "turns": func(i int) int { return i % 3 }, "another queue": func(i int) int { return min(i, 1) },
	}
	for _, ends := range [][2]string{{client4, "192.0.2.10:53"}, {client6, "[2001:db8:2::10]:53"}} {
		for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR} {
			for order, sort := range orders {
				for name, queue := range queues {
					for _, vlans := range [][]uint16{nil, {7}} {
						t.Run(fmt.Sprint(mode, ends[0], order, name, vlans), func(t *testing.T) {
							h := newHarness(t, 3, datagramService("dns", ends[1], mode, 3))
							in := big(ends[0], ends[1], 5000, 1)
							in.VLANs = vlans
							list := cut(in)
							sort(list)
							out := assembled(t, h.spread(list, queue))
							whole := big(ends[0], ends[1], 100, 1)
							whole.VLANs = vlans
							want := h.one(2, whole)
							want.Payload = in.Payload
							if mode == balancer.NAT {
								want.ID = out.ID
							}
							if d := packettest.Diff(out, want); d != "" {
								t.Errorf("the request: %s", d)
							}
							if n := h.engine.flows.Stats().Inserted; n != 1 {
								t.Errorf("%d flows", n)
							}
							if mode == balancer.DSR {
								return
							}
							answer := big(out.Dst.String(), out.Src.String(), 4000, 9)
							answer.SrcMAC = out.DstMAC
							list = cut(answer)
							sort(list)
							got := assembled(t, h.spread(list, queue))
							whole = big(out.Dst.String(), out.Src.String(), 100, 9)
							want = h.one(1, whole)
							want.Payload, want.ID = answer.Payload, got.ID
							if d := packettest.Diff(got, want); d != "" || got.Src != in.Dst {
								t.Errorf("the answer from %v: %s", got.Src, d)
							}
							if n := h.engine.fragments.Held(); n != 0 {
								t.Errorf("%d are held", n)
							}
						})
					}
				}
			}
		}
	}
}

// Segments in fragments are followed, too, and say nothing of their connection but by the
// first fragment.
func TestSegmentInFragments(t *testing.T) {
	for _, ends := range [][2]string{{client4, vip4}, {client6, vip6}} {
		h := newHarness(t, 2, service("web", ends[1], balancer.NAT, 2))
		to := h.one(0, packettest.TCP(ends[0], ends[1], packet.TCPSyn)).Dst
		h.one(1, packettest.TCP(to.String(), ends[0], packet.TCPSyn|packet.TCPAck))
		in := packettest.TCP(ends[0], ends[1], packet.TCPAck)
		in.Payload = bytes.Repeat([]byte("segment "), 500)
		out := assembled(t, h.spread(cut(in), func(i int) int { return i % 2 }))
		in.Dst, in.TTL, in.ID, in.SrcMAC, in.DstMAC = to, 63, out.ID, gatewayMAC, backendMAC(to.Addr())
		if d := packettest.Diff(out, in); d != "" {
			t.Error(d)
		}
	}
}

// pieces are fragments of each kind, for fuzzers.
func pieces() (list [][]byte) {
	for _, f := range []packettest.Frame{big(client4, "192.0.2.10:53", 1500, 1), big(client6, vip6, 1500, 2),
		big("10.0.0.11:8080", client4, 1500, 3), packettest.Echo("198.51.100.7", "192.0.2.10", 1)} {
		f.Payload = append(f.Payload, make([]byte, 1500)...)
		list = append(list, cut(f)...)
	}
	return list
}

// Many packets at once, of which fragments come in any order on any queue: each is put
// together again at its end, and at no other.
func TestFragmentsOfManyPackets(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	services := []balancer.ServiceSpec{datagramService("nat4", "192.0.2.10:53", balancer.NAT, 3), datagramService("nat6", "[2001:db8:2::10]:53", balancer.NAT, 3),
		datagramService("dsr4", "192.0.2.11:53", balancer.DSR, 3), datagramService("dsr6", "[2001:db8:2::11]:53", balancer.DSR, 3)}
	h := newHarness(t, 4, services...)
	type piece struct {
		of    int
		bytes []byte
	}
	var pieces []piece
	var in []packettest.Frame
	for i := range 150 {
		s := &services[i%4]
		client := "198.51.100.7"
		if i%2 == 1 {
			client = "2001:db8:100::7"
		}
		f := big(netip.AddrPortFrom(netip.MustParseAddr(client), uint16(1024+r.IntN(60000))).String(), netip.AddrPortFrom(s.Address, 53).String(), 2000+r.IntN(5000), uint16(i))
		in = append(in, f)
		for _, b := range cut(f) {
			pieces = append(pieces, piece{i, b})
		}
	}
	for range len(pieces) { // near each other, as on the way of packets that overtake each other
		i := r.IntN(len(pieces))
		j := min(i+r.IntN(20), len(pieces)-1)
		pieces[i], pieces[j] = pieces[j], pieces[i]
	}
	var out [][]byte
	for _, p := range pieces {
		out = append(out, h.passRaw(r.IntN(4), p.bytes)...)
	}
	mustBe(t, in, out)
	if n := h.counted(packet.Forwarded); n != uint64(len(pieces)) {
		t.Errorf("%d of %d fragments are forwarded", n, len(pieces))
	}
}

// What must not be followed is dropped under its name, and nothing else is.
func TestFragmentsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(list [][]byte) [][]byte
		want   packet.Verdict
		sent   int
	}{
		"a copy of the first": {func(f [][]byte) [][]byte { return [][]byte{f[0], f[0], f[1], f[2], f[3]} }, packet.DropOverlap, 4},
		"a copy of another":   {func(f [][]byte) [][]byte { return [][]byte{f[0], f[1], f[1], f[2], f[3]} }, packet.DropOverlap, 4},
		"another first": {func(f [][]byte) [][]byte {
			forged := bytes.Clone(f[0])
			forged[35]++ // the source port
			return [][]byte{f[0], forged, f[1]}
		}, packet.DropOverlap, 1},
		"an overlap": {func(f [][]byte) [][]byte {
			over := bytes.Clone(f[2])
			over[21] -= 8
			packettest.Resize(over)
			return [][]byte{f[0], f[1], over, f[3]}
		}, packet.DropOverlap, 2},
		"behind the end": {func(f [][]byte) [][]byte {
			beyond := bytes.Clone(f[1])
			beyond[20], beyond[21] = 0x24, 0
			packettest.Resize(beyond)
			return [][]byte{f[0], f[3], beyond, f[2]}
		}, packet.DropOverlap, 2},
		"beyond all packets": {func(f [][]byte) [][]byte {
			beyond := bytes.Clone(f[3])
			beyond[20], beyond[21] = 0x1f, 0xff
			packettest.Resize(beyond)
			return [][]byte{f[0], beyond}
		}, packet.DropOverflow, 1},
		"a tiny first": {func(f [][]byte) [][]byte {
			tiny := f[0][:34+8]
			tiny[23] = packet.ProtoTCP
			packettest.Resize(tiny)
			return [][]byte{tiny}
		}, packet.DropTiny, 0},
		"of another port": {func(f [][]byte) [][]byte {
			f[0][37]++
			return f
		}, packet.DropNoService, 0},
		"of nobody": {func(f [][]byte) [][]byte {
			for _, b := range f {
				b[33] = 99
				packettest.Resize(b)
			}
			return f
		}, packet.DropFragment, 0},
		"of no echo": {func(f [][]byte) [][]byte {
			for _, b := range f {
				b[23] = packet.ProtoICMP
				packettest.Resize(b)
			}
			f[0][34] = 3
			return f
		}, packet.DropICMP, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tcp := service("web", "192.0.2.10:80", balancer.NAT, 1)
			h := newHarness(t, 2, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1), tcp)
			in := c.change(cut(big(client4, "192.0.2.10:53", 5000, 1)))
			out := h.spread(in, func(i int) int { return i % 2 })
			if len(out) != c.sent || h.counted(c.want) != uint64(len(in)-c.sent) {
				t.Errorf("%d of %d came out, want %d; %v, %v", len(out), len(in), c.sent, h.verdicts(0), h.verdicts(1))
			}
		})
	}
}

// Where the first fragment does not go, the others do not either.
func TestFragmentsOfWhatIsDropped(t *testing.T) {
	h := newHarness(t, 1, datagramService("none", "192.0.2.10:53", balancer.NAT, 0), datagramService("dns", "192.0.2.11:53", balancer.DSR, 1))
	unreachable := h.passRaw(0, cut(big(client4, "192.0.2.10:53", 3000, 1))...)
	if len(unreachable) != 1 || packettest.Verify(t, unreachable[0]).Type != 3 || h.verdicts(0)["fragment"] != 2 {
		t.Errorf("%d came out, %v", len(unreachable), h.verdicts(0))
	}
	in := big(client4, "192.0.2.11:53", 3000, 2)
	in.TTL = 1
	exceeded := h.passRaw(0, cut(in)...)
	if len(exceeded) != 1 || packettest.Verify(t, exceeded[0]).Type != 11 {
		t.Errorf("%d came out, %v", len(exceeded), h.verdicts(0))
	}
	// Where the way is longer for one of them, it counts as what it is, and nobody is told.
	in.TTL, in.ID = 64, 3
	list := cut(in)
	list[1][22] = 1
	packettest.Resize(list[1])
	if out := h.passRaw(0, list...); len(out) != 2 || h.counted(packet.DropTTL) != 1 {
		t.Errorf("%d came out, %v", len(out), h.verdicts(0))
	}
}

// Full NAT has both ends of all fragments rewritten, and names of its own in both
// directions.
func TestFragmentsThroughFullNAT(t *testing.T) {
	for _, ends := range [][2]string{{client4, "192.0.2.10:53"}, {client6, "[2001:db8:2::10]:53"}} {
		s := fullnatService("dns", ends[1], 2, 100)
		s.Protocol = balancer.UDP
		h := newHarness(t, 3, s)
		in := big(ends[0], ends[1], 5000, 5)
		list := cut(in)
		slices.Reverse(list)
		out := assembled(t, h.spread(list, func(i int) int { return i % 3 }))
		if out.Src.Addr() != s.SnatAddresses[0] || !bytes.Equal(out.Payload, in.Payload) {
			t.Errorf("the request is from %v, %d bytes", out.Src, len(out.Payload))
		}
		answer := big(out.Dst.String(), out.Src.String(), 4000, 5)
		list = cut(answer)
		slices.Reverse(list)
		back := assembled(t, h.spread(list, func(i int) int { return i % 3 }))
		if back.Src != in.Dst || back.Dst != in.Src || !bytes.Equal(back.Payload, answer.Payload) || back.DstMAC != in.SrcMAC {
			t.Errorf("the answer is from %v to %v, %d bytes", back.Src, back.Dst, len(back.Payload))
		}
		if in.Is4() && (out.ID == in.ID || back.ID == answer.ID || out.ID == back.ID) {
			t.Errorf("the names are %d and %d", out.ID, back.ID)
		}
	}
}

// Clients that know nothing of each other may give two datagrams one name. Where one
// address stands for all of them, the names are the balancer's.
func TestNamesOfTranslatedPackets(t *testing.T) {
	h := newHarness(t, 2, datagramService("dns", "192.0.2.10:53", balancer.NAT, 2))
	var answers [][]byte
	var names []uint16
	for i := range 2 {
		to := h.one(0, packettest.UDP(fmt.Sprint("198.51.100.7:", 40000+i), "192.0.2.10:53", "question")).Dst
		out := h.spread(cut(big(to.String(), fmt.Sprint("198.51.100.7:", 40000+i), 3000, 5)), func(i int) int { return i % 2 })
		names = append(names, assembled(t, out).ID)
		answers = append(answers, out...)
	}
	if names[0] == names[1] {
		t.Errorf("two answers from one address are both %d", names[0])
	}
	if len(answers) != 6 {
		t.Errorf("%d fragments", len(answers))
	}
}

// Fragments of what backends say to others are the kernel's: the first one tells, and where
// that went by, or did not come, the others go too, in the end.
func TestStrayFragments(t *testing.T) {
	udp := datagramService("dns", "192.0.2.10:53", balancer.NAT, 1)
	udp.Backends[0].Port = 53
	h := newHarness(t, 1, udp)
	k := h.giveBack(true)
	h.one(0, packettest.UDP(client4, "192.0.2.10:53", "request"))
	for i, b := range cut(big("10.0.0.11:53", "198.51.100.7:40001", 3000, 1)) {
		t.Log("fragment", i)
		h.punted(k, b)
	}
	list := cut(big("10.0.0.11:53", "198.51.100.7:40001", 3000, 2))
	h.passRaw(0, list[1], list[2])
	if f := k.next(); f != nil {
		t.Errorf("the kernel has %x at once", f)
	}
	h.later(patience)
	h.engine.workers[0].expire()
	h.check(0)
	for _, want := range list[1:] {
		copy(want, deviceMAC[:])
		if got := k.next(); !bytes.Equal(got, want) {
			t.Errorf("the kernel has\n%x, want\n%x", got, want)
		}
	}
	// A client's never goes there.
	h.passRaw(0, cut(big(client4, "192.0.2.10:53", 3000, 3))[1], cut(big("10.0.0.11:53", "192.0.2.10:53", 3000, 4))[1])
	h.later(patience)
	h.engine.workers[0].expire()
	if f := k.next(); f != nil || h.verdicts(0)["fragment-orphan"] != 2 {
		t.Errorf("the kernel has %x; %v", f, h.verdicts(0))
	}
	// Where the machine does not forward, nothing does.
	h.giveBack(false)
	h.passRaw(0, list[1])
	h.later(patience)
	h.engine.workers[0].expire()
	if h.verdicts(0)["fragment-orphan"] != 3 {
		t.Error(h.verdicts(0))
	}
}

// An echo request of any size is answered, fragment by fragment, within the budget of echoes.
func TestEchoInFragments(t *testing.T) {
	for _, ends := range [][2]string{{"198.51.100.7", "192.0.2.10"}, {"2001:db8:100::7", "2001:db8:2::10"}} {
		at := netip.AddrPortFrom(netip.MustParseAddr(ends[1]), 80).String()
		h := newHarness(t, 2, service("web", at, balancer.NAT, 1))
		in := packettest.Echo(ends[0], ends[1], 7)
		in.Payload = bytes.Repeat([]byte("echo"), 10_000)
		list := cut(in)
		slices.Reverse(list[5:])
		out := assembled(t, h.spread(list, func(i int) int { return i % 2 }))
		if out.Src != in.Dst || out.Dst != in.Src || out.EchoID != in.EchoID || !bytes.Equal(out.Payload, in.Payload) || out.DstMAC != in.SrcMAC {
			t.Errorf("the answer is %d bytes from %v to %v", len(out.Payload), out.Src, out.Dst)
		}
		w := h.engine.workers[0]
		w.budgets[echoes] = budget{perSecond: 1, primed: true, at: w.clock.Now()}
		in.ID = 9
		for i := range list {
			h.droppedRaw(0, packettest.Fragments(in.Bytes(), 99, 1400)[i], packet.DropReplyLimit)
		}
	}
}

// A flow that goes between two fragments takes the later one with it.
func TestFragmentOfAForgottenFlow(t *testing.T) {
	h := newHarness(t, 1, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	list := cut(big(client4, "192.0.2.10:53", 3000, 1))
	h.passRaw(0, list[0])
	w := h.engine.workers[0]
	w.flows.Remove(w.refs[0])
	h.droppedRaw(0, list[1], packet.DropFragment)
	if n := h.engine.flows.Stats().Inserted; n != 1 {
		t.Errorf("%d flows", n)
	}
}

// Nothing of this allocates.
func TestFragmentsDoNotAllocate(t *testing.T) {
	h := newHarness(t, 1, datagramService("dns", "192.0.2.10:53", balancer.NAT, 1))
	k, w := h.kernels[0], h.engine.workers[0]
	var list [][]byte
	for i := range uint16(8) {
		f := cut(big(client4, "192.0.2.10:53", 3000, i))
		list = append(list, f[1], f[0], f[2])
	}
	once := func() {
		w.socket.Recycle()
		k.DeliverAll(list)
		for n, _ := w.pass(); n > 0; n, _ = w.pass() {
		}
	}
	k.Record(false)
	for range 100 {
		once()
	}
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if held := h.engine.fragments.Held(); held != 0 || h.counted(packet.Forwarded) == 0 {
		t.Errorf("%d are held; %v", held, h.verdicts(0))
	}
}

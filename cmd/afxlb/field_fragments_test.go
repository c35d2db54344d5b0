package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// datagramServices are the entries of a UDP service of each mode and family.
func datagramServices() []string {
	const none = "health: {type: none},"
	return []string{
		service("nat4", natVIP4, "nat", "udp", none), service("nat6", natVIP6, "nat", "udp", none),
		service("dsr4", dsrVIP4, "dsr", "udp", none), service("dsr6", dsrVIP6, "dsr", "udp", none),
	}
}

// lostFragments returns how many fragments were dropped, for whatever reason.
func (p *process) lostFragments() (n uint64) {
	p.t.Helper()
	list, err := p.api.Counters(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range list {
		if c.Group == "packets" && strings.HasPrefix(c.Name, "fragment") {
			n += c.Value
		}
	}
	return n
}

// Datagrams of 4 and 8 kB, which Ethernet takes in fragments only, are answered by ones as
// large, in every mode and family; and so is a ping of that size.
func TestFieldFragments(t *testing.T) {
	w := newWorld(t)
	w.listenDatagrams()
	for _, args := range [][]string{nil, {"--xdp-mode", "generic"}, {"--driver", "asavie"}} {
		p := w.serve(w.writeConfig("afxlb.yaml", datagramServices()...), args...)
		for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
			by := map[string]int{}
			for i := range 12 {
				c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
				if err != nil {
					t.Fatal(err)
				}
				name := ask(t, c, strings.Repeat("4 kB", 1000))
				if again := ask(t, c, strings.Repeat("8 kB", 2000+i)); again != name {
					t.Errorf("%v: %s answered, and then %s", vip, name, again)
				}
				c.Close()
				by[name]++
			}
			if len(by) != 3 {
				t.Errorf("%v: answered by %v, want all three", vip, by)
			}
			for _, size := range []int{1000, 4000, 20_000} {
				w.mustEcho(vip, size)
			}
		}
		p.checkSums()
		if n := p.lostFragments(); n != 0 {
			t.Errorf("%d fragments were dropped", n)
		}
		p.stop()
	}
}

// mustEcho has a client's kernel ask an address for an echo of so many bytes.
func (w *world) mustEcho(to netip.Addr, size int) {
	w.t.Helper()
	network, request, reply, header := "ip4:icmp", byte(8), byte(0), 20
	if to.Is6() {
		network, request, reply, header = "ip6:ipv6-icmp", 128, 129, 0 // IPv6 comes without its header
	}
	var c net.Conn
	err := w.lab.Clients[0].Do(func() (err error) {
		c, err = net.Dial(network, to.String())
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	ask := append([]byte{request, 0, 0, 0, 0x12, 0x34, 0, byte(size)}, bytes.Repeat([]byte("echo"), size/4)...)
	if !to.Is6() { // else the kernel does it
		sum := ^packettest.Sum(ask)
		ask[2], ask[3] = byte(sum>>8), byte(sum)
	}
	if _, err := c.Write(ask); err != nil {
		w.t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	for b := make([]byte, 1<<16); ; {
		n, err := c.Read(b)
		if err != nil {
			w.t.Fatalf("an echo of %d bytes from %v: %v", size, to, err)
		}
		got := b[min(header, n):n]
		if len(got) < 8 || got[0] != reply { // neighbour discovery, for example
			continue
		}
		if !bytes.Equal(got[4:], ask[4:]) {
			w.t.Errorf("an echo of %d bytes from %v has %d", size, to, len(got)-8)
		}
		return
	}
}

// conversation is a client's socket whose datagrams a test sends itself, in fragments.
type conversation struct {
	net.PacketConn
	w        *world
	up       *lab.Uplink
	from, to netip.AddrPort
	id       uint16
}

func (w *world) openConversation(up *lab.Uplink, vip netip.Addr) *conversation {
	w.t.Helper()
	from := lab.ClientAddr(0)
	if vip.Is6() {
		from = lab.ClientAddr6(0)
	}
	c, err := w.lab.Clients[0].ListenPacket("udp", netip.AddrPortFrom(from, 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &conversation{c, w, up, netip.MustParseAddrPort(c.LocalAddr().String()), netip.AddrPortFrom(vip, port), 0}
}

// fragments returns those of a datagram between two ends, as they come from a host.
func (c *conversation) fragments(from, to netip.AddrPort, host *lab.Host, payload string) [][]byte {
	c.w.t.Helper()
	c.id++
	f := packettest.UDP(from.String(), to.String(), payload)
	f.ID = c.id
	f.SrcMAC = packet.MAC(c.w.interfaceOf(host).HardwareAddr)
	f.DstMAC = packet.MAC(c.w.interfaceOf(c.w.lab.Balancer).HardwareAddr)
	return packettest.Fragments(f.Bytes(), uint32(c.id)<<8|uint32(from.Port())<<16, 1400)
}

// send has the balancer receive frames by one queue after the other.
func (c *conversation) send(frames [][]byte) {
	c.w.t.Helper()
	for i, f := range frames {
		if err := c.up.Send(i%queues, f); err != nil {
			c.w.t.Fatal(err)
		}
	}
}

// sendInTurn is send by one queue: each is handled before the next one.
func (c *conversation) sendInTurn(frames ...[]byte) {
	c.w.t.Helper()
	for _, f := range frames {
		if err := c.up.Send(0, f); err != nil {
			c.w.t.Fatal(err)
		}
	}
}

// hear returns what the next datagram says, and who says it.
func (c *conversation) hear() (from netip.AddrPort, what string) {
	c.w.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		c.w.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, at, err := c.ReadFrom(b)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return netip.MustParseAddrPort(at.String()), string(b[:n])
}

// Fragments that come by several queues, and in any order, are put together at their ends:
// those of requests and those of answers.
func TestFieldFragmentsByAllQueues(t *testing.T) {
	w := newWorld(t)
	w.listenDatagrams()
	up, err := w.lab.Uplink(queues)
	if err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", datagramServices()...))
	orders := []func([][]byte){func([][]byte) {}, slices.Reverse[[][]byte], func(f [][]byte) { slices.Reverse(f[1:]) }, func(f [][]byte) { f[0], f[1] = f[1], f[0] }}
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		for i, sort := range orders {
			c := w.openConversation(up, vip)
			what := strings.Repeat(fmt.Sprintf("%04d", i), 1500)
			list := c.fragments(c.from, c.to, w.lab.Clients[0], what)
			sort(list)
			c.send(list)
			from, heard := c.hear()
			name, echo, _ := strings.Cut(heard, " ")
			if echo != what || from != c.to {
				t.Fatalf("%v, order %d: %v says %.20q, of %d bytes", vip, i, from, heard, len(heard))
			}
			if vip == dsrVIP4 || vip == dsrVIP6 {
				continue
			}
			at := int(name[1] - '0')
			answer := strings.Repeat("answer", 1000)
			list = c.fragments(netip.AddrPortFrom(backendAddr(at, vip), port), c.from, w.lab.Backends[at], answer)
			sort(list)
			c.send(list)
			if from, heard := c.hear(); heard != answer || from != c.to {
				t.Fatalf("%v, order %d: the answer is from %v, of %d bytes", vip, i, from, len(heard))
			}
		}
	}
	s := p.await("have used both queues", func(s api.Status) bool { return s.Workers[0].Forwarded > 0 && s.Workers[1].Forwarded > 0 })
	if s.Flows.Inserted != uint64(4*len(orders)) {
		t.Errorf("%d flows for %d conversations", s.Flows.Inserted, 4*len(orders))
	}
	p.checkSums()
	if n := p.lostFragments(); n != 0 {
		t.Errorf("%d fragments were dropped", n)
	}
	p.stop()
}

// What strangers send in fragments is dropped under its name, and holds up nobody.
func TestFieldHostileFragments(t *testing.T) {
	w := newWorld(t)
	w.listenDatagrams()
	up, err := w.lab.Uplink(queues)
	if err != nil {
		t.Fatal(err)
	}
	const none = "health: {type: none},"
	p := w.serve(w.writeConfig("afxlb.yaml", append(datagramServices(), service("web4", natVIP4, "nat", "tcp", none),
		service("web6", natVIP6, "nat", "tcp", none), service("web", dsrVIP4, "dsr", "tcp", none))...))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4} {
		what := strings.Repeat("question", 500)
		c := w.openConversation(up, vip)
		lists := map[string][][]byte{}
		for _, name := range []string{"fragment-overlap", "fragment-tiny", "fragment-overflow", "a forged first"} {
			lists[name] = c.fragments(c.from, c.to, w.lab.Clients[0], what)
		}
		mine := c.fragments(c.from, c.to, w.lab.Clients[0], what)
		head := len(mine[0]) - 1400
		word := head - 14 // of a frame, where the offset is
		if vip.Is6() {
			word = head - 6
		}
		before := map[string]uint64{}
		for _, name := range []string{"fragment-overlap", "fragment-tiny", "fragment-overflow", "fragment-orphan"} {
			before[name] = p.counter("packets", name)
		}
		// One that overlaps the first; and what comes after it.
		over := lists["fragment-overlap"]
		over[1][word+1] -= 8
		packettest.Resize(over[1])
		c.sendInTurn(over...)
		// A header in two parts.
		tiny := lists["fragment-tiny"][0][:head+16]
		if vip.Is4() {
			tiny[23] = packet.ProtoTCP
		} else {
			tiny[head-8] = packet.ProtoTCP
		}
		packettest.Resize(tiny)
		c.sendInTurn(tiny)
		// One that ends beyond all packets.
		far := lists["fragment-overflow"][1]
		far[word], far[word+1] = 0x1f, 0xf8
		if vip.Is6() {
			far[word], far[word+1] = 0xff, 0xf0
		}
		packettest.Resize(far)
		c.sendInTurn(far)
		// Somebody was faster, with another port: nobody follows that.
		forged := lists["a forged first"]
		first := bytes.Clone(forged[0])
		first[head] ^= 0x40
		c.sendInTurn(first)
		c.sendInTurn(forged...)
		for name, n := range map[string]uint64{"fragment-overlap": 2 + 3, "fragment-tiny": 1, "fragment-overflow": 1} {
			p.await(fmt.Sprintf("drop %d for %s to %v", n, name, vip), func(api.Status) bool { return p.counter("packets", name) >= before[name]+n })
		}
		// More than there is room for is held, and none of them ever goes.
		for i := range 3000 {
			c.send(c.fragments(netip.AddrPortFrom(c.from.Addr(), uint16(1024+i)), c.to, w.lab.Clients[0], strings.Repeat("?", 2700))[1:])
		}
		slices.Reverse(mine)
		c.send(mine)
		if from, heard := c.hear(); from != c.to || !strings.HasSuffix(heard, what) {
			t.Errorf("%v: %v says %.20q, of %d bytes", vip, from, heard, len(heard))
		}
		p.await("count what it had to let go", func(api.Status) bool {
			return p.counter("packets", "fragment-overflow") > before["fragment-overflow"]+1
		})
	}
	p.await("give up what it held", func(api.Status) bool { // of what was not lost before it came there
		orphans := p.counter("packets", "fragment-orphan")
		return orphans > 0 && p.counter("packets", "fragment-overflow")+orphans > 3*2500
	})
	p.checkSums()
	if overlap, tiny := p.counter("packets", "fragment-overlap"), p.counter("packets", "fragment-tiny"); overlap != 3*5 || tiny != 3 {
		t.Errorf("%d overlaps and %d tiny ones, want 15 and 3", overlap, tiny)
	}
	p.stop()
}

// What backends say in fragments from other ports than those that are served is theirs: it
// takes the kernel's way, and no time of the balancer's.
func TestFieldFragmentsOfOthers(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	w.routeBackends()
	const other = 2049
	for i, h := range w.lab.Backends {
		// The kernel tells those on one link that they need no router between them.
		for _, setting := range []string{"ipv4/conf/all", "ipv4/conf/eth0", "ipv6/conf/eth0"} {
			if err := h.Sysctl("net/"+setting+"/accept_redirects", "0"); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range []netip.Addr{lab.BackendAddr(i), lab.BackendAddr6(i)} {
			if err := h.UDPEcho(netip.AddrPortFrom(a, other).String(), fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.listenDatagrams()
	p := w.serve(w.writeConfig("afxlb.yaml", datagramServices()...))
	for i := range w.lab.Backends {
		for _, a := range []netip.Addr{lab.BackendAddr(i), lab.BackendAddr6(i)} {
			c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(a, other).String())
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				ask(t, c, strings.Repeat("x", 8000))
			}
			c.Close()
		}
	}
	if n := p.counter("packets", "received"); n != 0 {
		t.Errorf("%d packets came to the balancer", n)
	}
	// From a port that is served, and of no flow: back to the kernel.
	c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(lab.BackendAddr(0), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask(t, c, strings.Repeat("x", 8000))
	p.checkSums()
	if n := p.counter("packets", "punted"); n != 6 || p.lostFragments() != 0 {
		t.Errorf("%d fragments went back, and %d were dropped", n, p.lostFragments())
	}
	p.stop()
}

// A router on the way to the balancer cuts a connection's segments, which do not forbid it.
func TestFieldSegmentsInFragments(t *testing.T) {
	w := newWorld(t)
	far := w.farClient()
	w.by(far, 0)
	if err := far.Sysctl("net/ipv4/ip_no_pmtu_disc", "1"); err != nil { // segments may be cut
		t.Fatal(err)
	}
	router := w.lab.Backends[1]
	vips := net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)}
	if err := router.Netlink().RouteReplace(&netlink.Route{LinkIndex: w.interfaceOf(router).Index, Dst: &vips, Gw: own4.AsSlice(), MTU: 1300}); err != nil {
		t.Fatal(err)
	}
	w.listenStreams()
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "health: {type: none},", fmt.Sprintf("{name: b0, address: %s}", lab.BackendAddr(0)))))
	c, name, err := w.dialStream(far, netip.AddrPortFrom(natVIP4, streamPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	what := bytes.Repeat([]byte(name), 10_000)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.Write(what) }()
	got := make([]byte, len(what))
	for n := 0; n < len(got); {
		k, err := c.Read(got[n:])
		if err != nil {
			t.Fatalf("%d bytes came back: %v", n, err)
		}
		n += k
	}
	if !bytes.Equal(got, what) {
		t.Error("other bytes came back")
	}
	p.checkSums()
	if n := p.counter("steering", "steered-fragment"); n == 0 {
		t.Error("nothing came in fragments")
	}
	if n := p.lostFragments(); n != 0 {
		t.Errorf("%d fragments were dropped", n)
	}
	p.stop()
}

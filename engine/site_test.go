package engine

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// site is the whole of what a frame may meet: a service of each mode and family, on two
// interfaces, with clients and backends behind links of every kind. It has flows of each
// service, which [site.begin] makes anew, always the same ones.
type site struct {
	*ports
	tables  [2]*balancer.Table // as it is, and with a backend of each service that gets no new flows
	time    time.Duration
	clock   Clock
	back    [2]*behind          // by port
	known   []arrival           // what the flows are made of
	departs map[netip.Addr][]at // where packets to an address may leave, by what the table names
	arrived map[netip.Addr][]at // where packets from an address came, since begin
	damaged bool                // since then some frame's IP header was: it may be held, and leave later
	knew    map[netip.Addr][]at // the same of the known flows' own
}

// at is where a frame is, or was, on the wire: by which port, with which tags, and from or to
// which MAC address.
type at struct {
	port uint8
	tags [2]int32 // VLANs, outermost first; -1: none
	mac  packet.MAC
}

// arrival is a frame by a port.
type arrival struct {
	port  uint8
	frame []byte
}

// The links of a site's clients, and those of its backends, by number. The first client is
// the one of all other tests.
var (
	siteClients = []balancer.Link{{}, {Tags: tagsOf([]uint16{5})}, {Port: 1}, {Port: 1, Tags: tagsOf([]uint16{6, 7})}}
	siteLinks   = []balancer.Link{{}, {Port: 1}, {Port: 1, Tags: tagsOf([]uint16{7})}, {Tags: tagsOf([]uint16{100, 8}), MTU: 1300}}
)

// siteServices are on the addresses that seeds use.
func siteServices() []balancer.ServiceSpec {
	udp := service("udp", "192.0.2.10:53", balancer.NAT, 4)
	udp.Protocol = balancer.UDP
	scattered := service("scattered", "[2001:db8:2::10]:53", balancer.DSR, 4)
	scattered.Protocol, scattered.Affinity = balancer.UDP, balancer.AffinityNone
	scattered4 := service("scattered4", "192.0.2.15:53", balancer.NAT, 4)
	scattered4.Protocol, scattered4.Affinity = balancer.UDP, balancer.AffinityNone
	none := service("none", "192.0.2.15:54", balancer.NAT, 0)
	none.Protocol = balancer.UDP
	stays := persistent("stays", "192.0.2.14:80", "", balancer.NAT)
	gue := named("gue-0", tunnelService("192.0.2.22:80", balancer.GUE, 4, own6))
	gue.GUE = balancer.GUESpec{Port: 7000, Variant: 0, Checksum: true}
	gre := named("gre-udp", tunnelService("[2001:db8:2::21]:53", balancer.GRE, 4, own4))
	gre.Protocol = balancer.UDP
	list := []balancer.ServiceSpec{
		service("nat4", vip4, balancer.NAT, 4), service("nat6", vip6, balancer.NAT, 4), udp, scattered, scattered4, stays,
		service("empty", "192.0.2.10:81", balancer.DSR, 0), none,
		service("dsr4", "192.0.2.11:80", balancer.DSR, 4), service("dsr6", "[2001:db8:2::11]:80", balancer.DSR, 4),
		fullnatService("full4", "192.0.2.12:80", 4, 200), fullnatService("full6", "[2001:db8:2::12]:80", 4, 200),
		mixedService("192.0.2.13:53", packet.ProtoUDP), mixedService("[2001:db8:2::13]:80", packet.ProtoTCP),
		named("ipip44", tunnelService("192.0.2.20:80", balancer.IPIP, 4, own4)), named("ipip46", tunnelService("192.0.2.20:81", balancer.IPIP, 4, own6)),
		named("ipip64", tunnelService("[2001:db8:2::20]:80", balancer.IPIP, 4, own4)), named("gue-1", tunnelService("[2001:db8:2::20]:81", balancer.GUE, 4, own4)),
		gue, named("gre", tunnelService("192.0.2.21:80", balancer.GRE, 4, own6)), gre,
	}
	for i := range list {
		list[i].Algorithm = balancer.Maglev // which has no memory
	}
	return list
}

// newSite returns one; apart: the second interface has frames of its own.
func newSite(t testing.TB, apart bool) *site {
	t.Helper()
	services := siteServices()
	clock := NewManualClock()
	h := newHarnessOf(t, Config{Queues: make([]int, 1), MaxFlows: 1000, Clock: clock, seed: OfflineSeed}, 8, services...)
	s := &site{ports: &ports{harness: h}, clock: clock, departs: map[netip.Addr][]at{}}
	s.cross(8, apart)
	s.facts.Ways = map[netip.Addr][]balancer.Way{}
	for i := range services {
		for n, b := range services[i].Backends {
			link := siteLinks[n%len(siteLinks)]
			hop := balancer.NextHop{MAC: backendMAC(b.Address), OnLink: true, Own: ownAddress(b.Address), Link: link}
			s.facts.NextHops[b.Address] = hop
			places := []at{{link.Port, tagsAt(link.Tags), hop.MAC}}
			if n == 1 { // by two ways
				other := hop
				other.MAC[0], other.Link = 0x0a, siteLinks[0]
				s.facts.Ways[b.Address] = []balancer.Way{{NextHop: hop, Weight: 1}, {NextHop: other, Weight: 1}}
				places = append(places, at{other.Link.Port, tagsAt(other.Link.Tags), other.MAC})
			}
			s.departs[b.Address] = append(s.departs[b.Address], places...)
			if services[i].Mode == balancer.DSR {
				s.departs[services[i].Address] = append(s.departs[services[i].Address], places...)
			}
		}
	}
	s.apply()
	for i := range s.spec.Services {
		if b := s.spec.Services[i].Backends; len(b) > 1 {
			b[0].Weight = 0
		}
	}
	s.tables[0] = s.engine.Table()
	s.apply()
	s.tables[1] = s.engine.Table()
	s.engine.table.Store(s.tables[0])
	s.back[0] = s.giveBack(true)
	w := h.engine.workers[0]
	device := w.device
	s.back[1] = s.giveBack(true)
	w.arms.devices[1], w.arms.devices[0] = w.device, device
	s.acquaint()
	return s
}

func tagsAt(t packet.Tags) (vlans [2]int32) {
	for i := range vlans {
		if vlans[i] = -1; t[i] != 0 {
			vlans[i] = int32(t[i].VLAN())
		}
	}
	return vlans
}

// acquaint notes the frames by which two clients have flows of each service, up to their first
// data: it is a rehearsal of begin.
func (s *site) acquaint() {
	s.begin()
	for i := range s.spec.Services {
		service := &s.spec.Services[i]
		for k := range 2 {
			n := (i + k) % len(siteClients)
			first := s.client(n, i)
			for _, out := range s.learn(arrival{siteClients[n].Port, first.Bytes()}) {
				if a, ok := s.answer(service, out); ok {
					s.learn(a)
				}
			}
			if first.Proto == packet.ProtoTCP {
				data := first
				data.Flags, data.Seq, data.Ack, data.Payload = packet.TCPAck, first.Seq+1, first.Seq+1, []byte("data")
				s.learn(arrival{siteClients[n].Port, data.Bytes()})
			}
		}
	}
	s.knew = s.arrived
}

// client returns the first packet of a site's client to a service: that which goes to the
// backend of the same number, if it has so many.
func (s *site) client(n, service int) packettest.Frame {
	to, table := &s.spec.Services[service], s.engine.Table()
	ip := fmt.Sprintf("198.51.100.%d", 7+n)
	if to.Address.Is6() {
		ip = fmt.Sprintf("2001:db8:100::%d", 7+n)
	}
	dst := netip.AddrPortFrom(to.Address, to.First).String()
	for port := uint16(40000); ; port++ {
		src := netip.AddrPortFrom(netip.MustParseAddr(ip), port).String()
		f := packettest.TCP(src, dst, packet.TCPSyn)
		if to.Protocol == balancer.UDP {
			f = packettest.UDP(src, dst, "question")
		}
		f.SrcMAC[5], f.DstMAC = byte(n+1), siteMAC(siteClients[n].Port)
		f.VLANs = vlansOf(siteClients[n].Tags)
		key := f.Key()
		id, ok := table.Services[service].Consistent(&key)
		if all := table.Services[service].Backends; !ok || id == all[n%len(all)] {
			return f
		}
	}
}

func siteMAC(port uint8) packet.MAC { return [2]packet.MAC{gatewayMAC, innerMAC}[port] }

func vlansOf(t packet.Tags) (list []uint16) {
	for _, vlan := range tagsAt(t) {
		if vlan >= 0 {
			list = append(list, uint16(vlan))
		}
	}
	return list
}

// answer returns what a backend says to a frame of which its replies come back.
func (s *site) answer(to *balancer.ServiceSpec, out departure) (arrival, bool) {
	if !to.Mode.Traits().RepliesReturn {
		return arrival{}, false
	}
	f := packettest.Verify(s.t, out.frame)
	r := replyTo(f, packet.TCPSyn|packet.TCPAck)
	r.VLANs, r.DstMAC = f.VLANs, siteMAC(out.port)
	return arrival{out.port, r.Bytes()}, true
}

func (s *site) learn(a arrival) []departure {
	s.known = append(s.known, a)
	return s.put(false, a)
}

// rest lets time pass until no flow is left, and holds that nothing is left of them.
func (s *site) rest() {
	w := s.engine.workers[0]
	for range 2 { // then the ports that are left of them have rested
		s.time += time.Hour
		s.clock.Set(s.time)
		s.engine.Expire()
	}
	w.expire()
	s.engine.flows.Grace.Quiescent(0)
	s.mustBeEmpty()
	s.drain()
	w.seen = seen{}
}

// begin makes the known flows, when all others are over.
func (s *site) begin() {
	s.rest()
	s.engine.table.Store(s.tables[0])
	s.damaged = false
	s.arrived = map[netip.Addr][]at{}
	for from := 0; from < len(s.known); {
		to := from + 1
		for to < len(s.known) && to-from < 8 && s.known[to].port == s.known[from].port {
			to++
		}
		s.deliver(s.known[from:to]...)
		s.run()
		from = to
	}
	if s.knew != nil {
		s.arrived = cloneOf(s.knew)
	}
	s.drain()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

func cloneOf(m map[netip.Addr][]at) map[netip.Addr][]at {
	c := make(map[netip.Addr][]at, len(m))
	for k, v := range m {
		c[k] = slices.Clip(v)
	}
	return c
}

// mustBeEmpty holds that nothing is left of flows that are gone.
func (s *site) mustBeEmpty() {
	if n := s.engine.flows.Stats().Total(); n != 0 {
		s.t.Errorf("%d flows stay for ever", n)
	}
	for _, p := range s.engine.Sources() {
		if p.Lent != 0 || p.Resting != 0 {
			s.t.Errorf("of %+v ports are lent to nobody", p)
		}
	}
	if n := s.engine.fragments.Held(); n != 0 {
		s.t.Errorf("%d fragments are held for ever", n)
	}
	for id := range s.engine.Table().Backends {
		if live, flows := s.engine.config.Loads.Live(uint32(id)), s.engine.config.Loads.Flows(uint32(id)); live != 0 || flows != 0 {
			s.t.Errorf("backend %d has %d live ones of %d flows, of none", id, live, flows)
		}
	}
}

func (s *site) deliver(list ...arrival) {
	for _, a := range list {
		k := s.kernel(a.port)
		k.Socket().Recycle()
		if !k.Deliver(a.frame) {
			s.t.Fatal("the fake kernel takes no packet")
		}
	}
}

// run has the worker handle all that has arrived.
func (s *site) run() {
	for {
		n, err := s.engine.workers[0].pass()
		if err != nil {
			s.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// drain returns what has left, and how many frames went back to the kernel.
func (s *site) drain() (out []departure, punted int) {
	for port := range s.back {
		for _, b := range s.kernel(uint8(port)).Sent() {
			out = append(out, departure{uint8(port), b})
		}
		for s.back[port].t = s.t; s.back[port].next() != nil; {
			punted++
		}
	}
	return out, punted
}

// TestSite holds that a site is what it says: its flows are made, by every mode, and the same
// frames have the same end every time.
func TestSite(t *testing.T) {
	s := newSite(t, false)
	want, live := map[string]uint64{}, 0
	for round := range 3 {
		before := s.verdicts(0)
		s.begin()
		got := s.verdicts(0)
		for v := range got {
			got[v] -= before[v]
		}
		n := s.engine.flows.Stats().Total()
		if round == 0 {
			want, live = got, n
			t.Logf("%d frames make %d flows: %v", len(s.known), n, got)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || n != live {
			t.Errorf("round %d: %d flows, %v; want %d, %v", round, n, got, live, want)
		}
	}
	per := map[uint32]uint64{}
	for id, b := range s.engine.workers[0].count.Backends {
		per[s.engine.Table().Backends[id].Service] += b.Packets[0]
	}
	for i := range s.spec.Services {
		if per[uint32(i)] == 0 && len(s.spec.Services[i].Backends) > 0 {
			t.Errorf("no packet is forwarded for %s", s.spec.Services[i].Name)
		}
	}
	if bytes.Equal(s.known[0].frame, s.known[1].frame) {
		t.Error("a frame comes twice")
	}
}

// seeds are frames about a site's known flows: all that made them, and others of their
// connections, what became of them, and errors about that.
func (s *site) seeds() (list [][]byte) {
	s.begin()
	for _, a := range s.known {
		list = append(list, a.frame)
		f := packettest.Verify(s.t, a.frame)
		for _, change := range variants {
			c := f
			change(&c)
			list = append(list, c.Bytes())
		}
		s.arrived = cloneOf(s.knew)
		for _, d := range s.put(false, a) {
			list = append(list, d.frame) // as if it came back
			if b, tunnelled := s.inside(d); !tunnelled {
				out := packettest.Verify(s.t, b)
				e := about(out, routerOf(out.Src.Addr()), out.DstMAC, 1200)
				list = append(list, bytesOf(e))
				e.Type, e.Code, e.EchoSeq = 3, 4, 1280 // fragmentation needed
				if !e.Is4() {
					e.Type, e.Code, e.EchoID = 2, 0, 0
				}
				list = append(list, bytesOf(e))
			} else if p, err := ipOf(d.frame); err == nil {
				list = append(list, bytesOf(onTheWay(p.src.String(), untagged(d.frame), 1380)))
			}
		}
	}
	return append(list, pieces()...)
}

// variants make other packets of a flow of one.
var variants = []func(f *packettest.Frame){
	func(f *packettest.Frame) { f.Flags, f.Seq = packet.TCPSyn, f.Seq+1<<20 },
	func(f *packettest.Frame) { f.Flags |= packet.TCPFin },
	func(f *packettest.Frame) { f.Flags = packet.TCPRst },
	func(f *packettest.Frame) { f.TTL = 1 },
	func(f *packettest.Frame) { f.DF, f.Payload = f.Is4(), make([]byte, 1400) }, // more than some ways take
	func(f *packettest.Frame) { f.Payload = make([]byte, 1600) },
	func(f *packettest.Frame) {
		if f.Is4() {
			f.IPOptions = []byte{131, 7, 4, 10, 0, 0, 1, 0} // a source route that has ended
		} else {
			f.Extensions = []packettest.Extension{{Type: 60, Data: []byte{1, 4, 0, 0, 0, 0}}}
		}
	},
	func(f *packettest.Frame) { f.NoChecksum = f.Is4() && f.Proto == packet.ProtoUDP },
}

// pairs are the two fragments of packets that become something else in each way.
func (s *site) pairs() (list [][2][]byte) {
	for i := range s.spec.Services {
		f := s.client(0, i)
		f.Payload = bytes.Repeat([]byte("fragment"), 30)
		two := packettest.Fragments(f.Bytes(), 7, 128)
		list = append(list, [2][]byte{two[0], two[1]})
		f.Payload = append(f.Payload, make([]byte, 1400)...) // of which one is larger than some ways take
		two = packettest.Fragments(f.Bytes(), 7, 1400)
		list = append(list, [2][]byte{two[0], two[1]})
	}
	return list
}

func routerOf(a netip.Addr) string {
	if a.Is4() {
		return "10.9.9.9"
	}
	return "2001:db8:99::9"
}

// untagged returns a frame without its VLAN tags.
func untagged(frame []byte) []byte {
	p, err := ipOf(frame)
	if err != nil {
		return frame
	}
	kind := []byte{0x08, 0x00}
	if p.dst.Is6() {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat(frame[:12], kind, p.packet)
}

package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

// everything returns a balancer with one service of each kind, on the addresses
// that the fuzzers' seeds use.
func everything(t testing.TB) *harness {
	udp := service("udp", "192.0.2.10:53", balancer.NAT, 2)
	udp.Protocol = balancer.UDP
	empty := service("empty", "192.0.2.10:81", balancer.DSR, 0)
	return newHarness(t, 1, service("nat4", vip4, balancer.NAT, 3), service("nat6", vip6, balancer.NAT, 3),
		service("dsr4", "192.0.2.11:80", balancer.DSR, 2), service("dsr6", "[2001:db8:2::11]:80", balancer.DSR, 2), udp, empty,
		fullnatService("full4", "192.0.2.12:80", 2, 20), fullnatService("full6", "[2001:db8:2::12]:80", 2, 20),
		mixedService("192.0.2.13:53", packet.ProtoUDP), mixedService("[2001:db8:2::13]:80", packet.ProtoTCP),
		named("ipip", tunnelService("192.0.2.20:80", balancer.IPIP, 2, own6)), named("gue", tunnelService("[2001:db8:2::20]:80", balancer.GUE, 2, own4)),
		named("gre", tunnelService("192.0.2.21:80", balancer.GRE, 2, own4)))
}

func named(name string, s balancer.ServiceSpec) balancer.ServiceSpec {
	s.Name = name
	return s
}

// seeds are frames that reach every branch of the worker.
func seeds() (list [][]byte) {
	for _, f := range []packettest.Frame{
		packettest.TCP(client4, vip4, packet.TCPSyn), packettest.TCP(client6, vip6, packet.TCPSyn),
		packettest.TCP(client4, "192.0.2.11:80", packet.TCPAck), packettest.TCP(client6, "[2001:db8:2::11]:80", packet.TCPSyn),
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPSyn|packet.TCPAck), packettest.TCP("[2001:db8:10::11]:8080", client6, packet.TCPAck),
		packettest.TCP(client4, "192.0.2.20:80", packet.TCPSyn), packettest.TCP(client6, "[2001:db8:2::20]:80", packet.TCPSyn), packettest.TCP(client4, "192.0.2.21:80", packet.TCPSyn),
		packettest.UDP(client4, "192.0.2.10:53", "question"), packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn),
		packettest.TCP(client4, "192.0.2.12:80", packet.TCPSyn), packettest.TCP(client6, "[2001:db8:2::12]:80", packet.TCPSyn),
		packettest.TCP("10.0.0.11:8080", "10.0.0.5:2007", packet.TCPSyn|packet.TCPAck), packettest.TCP("[2001:db8:10::11]:8080", "[2001:db8:10::5]:2003", packet.TCPAck),
		big(client4, "192.0.2.13:53", 1472, 1), packettest.TCP(client6, "[2001:db8:2::13]:80", packet.TCPSyn),
		packettest.Echo("198.51.100.7", "192.0.2.10", 1), packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 1),
		icmpError("203.0.113.1", "192.0.2.10", 3, packettest.TCP(vip4, client4, packet.TCPAck)),
		icmpError("2001:db8:77::1", "2001:db8:2::10", 2, packettest.TCP(vip6, client6, packet.TCPAck)),
		icmpError("203.0.113.1", "192.0.2.11", 3, packettest.TCP("192.0.2.11:80", client4, packet.TCPAck)),
		icmpError("192.0.2.11", "198.51.100.7", 3, packettest.TCP(client4, "192.0.2.11:80", packet.TCPAck)),
		icmpError("10.9.9.9", "198.51.100.7", 11, packettest.TCP(client4, "10.0.0.11:8080", packet.TCPAck)),
	} {
		list = append(list, f.Bytes())
	}
	return list
}

// related are frames that go back to the kernel for what they are about.
func related() [][]byte {
	fragment := packettest.UDP("10.0.0.11:53", client4, "of an answer").Bytes()
	fragment[20] |= 0x20
	fragment6 := packettest.UDP("[2001:db8:10::11]:8080", client6, "of an answer")
	fragment6.Extensions = []packettest.Extension{{Type: 44, Data: []byte{0, 1, 0, 0, 0, 9}}}
	return [][]byte{fragment, fragment6.Bytes(),
		bytesOf(icmpError("10.0.0.11", "198.51.100.7", 3, packettest.UDP("198.51.100.7:4001", "10.0.0.11:53", "direct"))),
		bytesOf(icmpError("2001:db8:10::11", "2001:db8:100::7", 1, packettest.TCP(client6, "[2001:db8:10::11]:8080", packet.TCPAck)))}
}

// FuzzWorker hands one or two frames, each by a port, to a worker with known flows of each
// mode. What a site holds of any frame must be so of these: see [site.put].
func FuzzWorker(f *testing.F) {
	s := newSite(f, false)
	sites := []*site{s, newSite(f, true)}
	for _, b := range some(slices.Concat(seeds(), related(), s.seeds())) {
		f.Add(b, []byte{}, uint8(0))
		f.Add(b[:len(b)-1], b, uint8(3))
		f.Add(b, b, uint8(16+32+8))
	}
	for _, pair := range s.pairs() {
		f.Add(pair[0], pair[1], uint8(4))
		f.Add(pair[1], pair[0], uint8(8))
	}
	for _, in := range some(corpus(f)) {
		f.Add(in.first, in.second, in.how)
	}
	f.Fuzz(func(t *testing.T, first, second []byte, how uint8) {
		s := sites[how>>5&1]
		s.t = t
		s.begin()
		s.engine.table.Store(s.tables[how>>4&1])
		var in [][]byte
		var out []departure
		for i, b := range [][]byte{first, second} {
			if len(b) > s.kernels[0].Socket().Info().MaxPacket || len(b) == 0 {
				continue
			}
			in = append(in, b)
			out = append(out, s.put(how>>(i+2)&1 != 0, arrival{how >> i & 1, b})...)
		}
		s.together(in, out)
		s.rest()
	})
}

// some are all of a list, or where the race detector makes each take long some of them: nothing
// here runs beside anything else.
func some[T any](list []T) (few []T) {
	if !testutil.Race {
		return list
	}
	for i := 0; i < len(list); i += 20 {
		few = append(few, list[i])
	}
	return few
}

// input is what FuzzWorker takes.
type input struct {
	first, second []byte
	how           uint8 // bits: by which port each comes, whether behind another frame, by which table, in which site
}

// corpus are the inputs that a long search has left: each has an end of its own, or reaches
// code that no smaller one does. A line of the file is one, in hexadecimal.
func corpus(t testing.TB) (list []input) {
	t.Helper()
	text, err := os.ReadFile("testdata/worker.corpus")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var in input
		if n, err := fmt.Sscanf(line, "%x %x %x", &in.how, &in.first, &in.second); err != nil && n < 2 {
			t.Fatalf("read %q: %v", line, err)
		}
		list = append(list, in)
	}
	return list
}

// TestRandomTraffic mixes sound packets of few clients, so that flows meet, with
// damaged ones. What leaves a sound packet's flow must be sound itself; all
// invariants of the harness hold after each batch.
func TestRandomTraffic(t *testing.T) {
	h := everything(t)
	r := rand.New(rand.NewPCG(3, 4))
	flags := []uint8{packet.TCPSyn, packet.TCPAck, packet.TCPAck, packet.TCPAck | packet.TCPFin, packet.TCPRst, packet.TCPSyn | packet.TCPAck}
	base := seeds()
	for range 300 {
		var batch [][]byte
		for range r.IntN(100) + 1 {
			b := bytes.Clone(base[r.IntN(len(base))])
			f, err := packettest.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if f.Proto == packet.ProtoTCP {
				f.Flags = flags[r.IntN(len(flags))]
			}
			b = f.Bytes()
			switch r.IntN(4) {
			case 0: // damage a byte
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			case 1: // cut
				if r.IntN(4) == 0 {
					b = b[:r.IntN(len(b))+1]
				}
			}
			batch = append(batch, b)
		}
		h.passRaw(0, batch...)
		if r.IntN(20) == 0 {
			h.apply()
		}
	}
	for _, v := range []packet.Verdict{packet.Forwarded, packet.Replied, packet.DropNoFlow, packet.DropNotIP} {
		if h.engine.workers[0].count.Verdicts[v] == 0 {
			t.Errorf("no packet ended as %v: the traffic is not what this test wants", v)
		}
	}
}

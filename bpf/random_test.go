package bpf

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// random returns a source that a failed test can be repeated with.
func random(t *testing.T) *rand.Rand {
	s := *seed
	for s == 0 {
		s = rand.Uint64()
	}
	t.Logf("repeat with -seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// The pools are small, so that services, backends, local addresses and packets
// often meet, and have neighbours at which a range or block could go wrong.
var (
	pool4 = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "10.0.0.1", "10.0.0.2", "224.0.0.1", "255.255.255.255"}
	pool6 = []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:1::1", "ff02::1", "::ffff:192.0.2.1"}
	pools = [][]string{pool4, pool6}

	poolMACs = [][6]byte{ownMAC, vrrpMAC, {2, 0, 0, 0, 0, 2}, {2, 1, 0, 0, 0, 1}, otherMAC}
)

func randomPort(r *rand.Rand) uint16 {
	switch r.IntN(3) {
	case 0:
		return pick[uint16](r, 0, 1, 80, 443, 32767, 32768, 65534, 65535)
	case 1:
		return uint16(8000 + r.IntN(100))
	}
	return uint16(r.Uint32())
}

// randomPorts returns all ports, one, or a range.
func randomPorts(r *rand.Rand) (first, last uint16) {
	first, last = randomPort(r), randomPort(r)
	switch {
	case r.IntN(4) == 0:
		return 0, 65535
	case r.IntN(2) == 0:
		return first, first
	}
	return min(first, last), max(first, last)
}

func randomSteering(r *rand.Rand) Steering {
	address := func() string {
		pool := pick(r, pools...)
		return pool[r.IntN(len(pool)-1)] // all but broadcast and mapped
	}
	var s Steering
	for range r.IntN(12) {
		first, last := randomPorts(r)
		s.Services = append(s.Services, Service{ip(address()), pick[uint8](r, TCP, UDP), first, last})
	}
	for range r.IntN(12) {
		first, last := randomPorts(r)
		s.Replies = append(s.Replies, Endpoint{ip(address()), pick[uint8](r, TCP, UDP), first, last})
	}
	for range r.IntN(8) {
		e := TunnelEnd{Address: ip(address()), Protocol: pick[uint8](r, 4, 17, 41, 47)}
		if e.Protocol == UDP {
			e.Port = pick(r, randomPort(r), 80, 443)
		}
		s.Tunnels = append(s.Tunnels, e)
	}
	for range r.IntN(8) {
		s.Local = append(s.Local, ip(address()))
	}
	for range r.IntN(5) {
		first, last := randomPorts(r)
		s.Sources = append(s.Sources, Source{ip(address()), max(first, 1), max(last, 1)})
	}
	for range pick(r, 0, 1, 1, 2, 3) {
		s.MACs = append(s.MACs, pick(r, poolMACs[:4]...))
	}
	s.Ephemeral = pick(r, Ports{}, Ports{32768, 60999}, Ports{8000, 8050})
	return s
}

// portOf returns a port at, or just beyond, an edge of what s lists, or any.
func portOf(r *rand.Rand, s Steering) uint16 {
	switch n := r.IntN(5); {
	case n == 4 && len(s.Sources) > 0:
		o := pick(r, s.Sources...)
		return pick(r, o.First-1, o.First, o.Last, o.Last+1)
	case n == 0 && len(s.Services) > 0:
		v := pick(r, s.Services...)
		return pick(r, v.First-1, v.First, v.Last, v.Last+1)
	case n <= 2 && len(s.Replies) > 0:
		e := pick(r, s.Replies...)
		return pick(r, e.First-1, e.First, e.Last, e.Last+1)
	}
	return randomPort(r)
}

// randomPacket returns an IP packet between two addresses of one pool; one that
// is quoted quotes nothing itself.
func randomPacket(r *rand.Rand, s Steering, pool []string, quoted bool) []byte {
	src, dst := pool[r.IntN(len(pool)-1)], pick(r, pool...)
	if pool[0] == pool6[0] && dst != pool6[len(pool6)-1] && r.IntN(20) == 0 {
		src = pool6[len(pool6)-1]
	}
	var p []byte
	switch r.IntN(4) {
	case 0:
		p = udp(src, dst, portOf(r, s), portOf(r, s))
	case 1:
		if quoted {
			p = icmp(src, dst, pick[uint8](r, 0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129, 135, uint8(r.Uint32())))
			break
		}
		p = quoting(src, dst, pick[uint8](r, 1, 2, 3, 4, 11, 12), randomPacket(r, s, pool, true), r.IntN(40))
	case 2:
		if r.IntN(4) == 0 {
			p = other(src, dst, layers.IPProtocol(pick(r, r.Uint32(), 4, 41, 47)))
			break
		}
		fallthrough
	default:
		p = tcp(src, dst, portOf(r, s), portOf(r, s))
	}
	is6 := p[0]>>4 == 6
	if is6 && r.IntN(3) == 0 {
		var chain []header
		for range r.IntN(10) {
			chain = append(chain, header{pick[byte](r, hopByHop, routing, destination, fragmented), byte(r.IntN(3))})
			if chain[len(chain)-1].kind == fragmented {
				chain[len(chain)-1].words = 0
			}
		}
		p = extended(p, chain...)
	}
	if !is6 && r.IntN(3) == 0 {
		p = options(p, 4*r.IntN(11))
	} else if n := len(body(p)); r.IntN(5) == 0 && n > 16 {
		from := 8 * r.IntN(n/8)
		p = fragment(p, from, from+min(8*(1+r.IntN(3)), n-from))
	}
	return p
}

// damage changes some bytes, mostly of the headers, cuts or pads.
func damage(r *rand.Rand, f []byte) []byte {
	f = slices.Clone(f)
	for range r.IntN(4) {
		at := r.IntN(len(f))
		if r.IntN(2) == 0 {
			at = 12 + r.IntN(min(len(f)-12, 60))
		}
		f[at] = pick(r, byte(r.Uint32()), f[at]^1<<r.IntN(8), 0, 0xff)
	}
	switch r.IntN(4) {
	case 0:
		return f[:14+r.IntN(len(f)-13)]
	case 1:
		return append(f, make([]byte, r.IntN(60))...)
	}
	return f
}

// TestAgainstOracle runs random packets, whole and damaged, through the program
// under random steerings, applied one over the other, and asks the oracle.
func TestAgainstOracle(t *testing.T) {
	r := random(t)
	p := loadWithSocket(t, Steering{})
	own := randomOwn(t, r)
	memory := memory{own: own}
	seen, kept, followed := map[Reason]int{}, 0, 0
	for range 200 {
		s := randomSteering(r)
		if err := p.Apply(plan(t, s)); err != nil {
			t.Fatal(err)
		}
		for range 150 {
			pool := pick(r, pools...)
			packet := randomPacket(r, s, pool, false)
			if r.IntN(2) == 0 {
				packet = toOwn(r, own, pool)
			}
			if n := len(body(packet)); r.IntN(2) == 0 && n > 16 {
				packet = fragment(packet, pick(r, 0, 8), pick(r, 16, n))
			}
			f := frame(packet, mixedTags[:pick(r, 0, 0, 1, 2, 3)]...)
			switch r.IntN(8) {
			case 0:
				f = sendTo(pick(r, groupMAC, broadcast), f)
			case 1, 2:
				f = sendTo(pick(r, poolMACs...), f)
			default:
				f = sendTo(append(s.MACs, ownMAC)[0], f)
			}
			if r.IntN(2) == 0 {
				f = damage(r, f)
			}
			got, want := judge(t, p, f), memory.judge(s, f)
			if got != want {
				t.Fatalf("%s, the oracle says %s\n%s\n%s", got, want, fmt.Sprintf("%+v", s), hex.Dump(f))
			}
			seen[got]++
			if got == Passed && oracle(s, f) == SteeredService {
				kept++
			}
			if got == Passed && oracle(s, f) == SteeredFragment {
				followed++
			}
		}
	}
	t.Logf("%v; %d for the machine's own sockets, %d fragments followed others", seen, kept, followed)
	if kept < 3 || followed < 10 {
		t.Errorf("only %d packets were for the machine's own sockets, and %d fragments followed others", kept, followed)
	}
	for r := range DroppedNoSocket {
		if seen[r] < 20 {
			t.Errorf("%s came only %d times: the random packets don't test it", r, seen[r])
		}
	}
}

// FuzzAgainstOracle is for long searches; its seeds are the table's packets.
func FuzzAgainstOracle(f *testing.F) {
	for _, s := range samples() {
		f.Add(frame(s.packet))
	}
	s := testSteering()
	p := loadWithSocket(f, s)
	var memory memory
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 14 || len(data) > 3000 {
			return // what a test run takes
		}
		if got, want := judge(t, p, data), memory.judge(s, data); got != want {
			t.Errorf("%s, the oracle says %s\n%s", got, want, hex.Dump(data))
		}
	})
}

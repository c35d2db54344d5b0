package packet

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func randomKey(r *rand.Rand) Key {
	var k Key
	for i := range k.Src {
		k.Src[i], k.Dst[i] = byte(r.Uint32()), byte(r.Uint32())
	}
	k.SrcPort, k.DstPort = uint16(r.Uint32()), uint16(r.Uint32())
	k.Proto = ProtoTCP
	return k
}

// clientKey is the n-th of a row of clients who differ in nothing but the low
// bits of their address and port: what a hash finds hardest to spread.
func clientKey(n int) Key {
	k := Key{
		Src:     AddrFrom(netip.MustParseAddr("198.51.100.0")),
		Dst:     AddrFrom(netip.MustParseAddr("192.0.2.10")),
		SrcPort: uint16(32768 + n%16),
		DstPort: 80,
		Proto:   ProtoTCP,
	}
	binary.BigEndian.PutUint32(k.Src[12:], 0xc6336400+uint32(n/16))
	return k
}

// Other machines and later versions must agree on these values: a change moves
// flows between backends in a fleet that is half upgraded.
func TestHashIsPinned(t *testing.T) {
	v4 := clientKey(5)
	v6 := Key{
		Src:     AddrFrom(netip.MustParseAddr("2001:db8:100::1")),
		Dst:     AddrFrom(netip.MustParseAddr("2001:db8:2::10")),
		SrcPort: 40000,
		DstPort: 443,
		Proto:   ProtoUDP,
	}
	for _, tt := range []struct {
		key  Key
		seed uint64
		want uint64
	}{
		{Key{}, 0, 0x8b1ae12dc05c32b7},
		{v4, 0, 0x72c3d560f1a22fc5},
		{v4, 1, 0x851669e47233c593},
		{v6, 0, 0x4bcd1819e0776d5d},
	} {
		if got := tt.key.Hash(tt.seed); got != tt.want {
			t.Errorf("Hash(%+v, %d) = %#x, want %#x", tt.key, tt.seed, got, tt.want)
		}
	}
}

func TestHashDependsOnEveryField(t *testing.T) {
	base := clientKey(0)
	seen := map[uint64]string{base.Hash(0): "base"}
	check := func(what string, k Key, seed uint64) {
		h := k.Hash(seed)
		if other, ok := seen[h]; ok {
			t.Errorf("%s hashes like %s", what, other)
		}
		seen[h] = what
	}
	check("reverse", base.Reverse(), 0)
	swapped := base
	swapped.SrcPort, swapped.DstPort = base.DstPort, base.SrcPort
	check("ports swapped", swapped, 0)
	swapped = base
	swapped.Src, swapped.Dst = base.Dst, base.Src
	check("addresses swapped", swapped, 0)
	udp := base
	udp.Proto = ProtoUDP
	check("udp", udp, 0)
	check("other seed", base, 1)
}

// keyBits is the number of bits of a key that differ between packets: two
// addresses, two ports and the protocol number.
const keyBits = 128 + 128 + 16 + 16 + 8

func flip(k Key, bit int) Key {
	switch {
	case bit < 128:
		k.Src[bit/8] ^= 1 << (bit % 8)
	case bit < 256:
		k.Dst[bit/8-16] ^= 1 << (bit % 8)
	case bit < 272:
		k.SrcPort ^= 1 << (bit - 256)
	case bit < 288:
		k.DstPort ^= 1 << (bit - 272)
	default:
		k.Proto ^= 1 << (bit - 288)
	}
	return k
}

// hashes are the functions under test, with the bits of a key that they hash.
var hashes = []struct {
	name string
	hash func(k *Key, seed uint64) uint64
	ends int // how many of the key's
}{
	{"Hash", (*Key).Hash, 2},
	{"HashEnd", func(k *Key, seed uint64) uint64 { return HashEnd(&k.Src, k.SrcPort, k.Proto, seed) }, 1},
}

// Flipping any one bit of the key must flip each bit of the hash in half of the
// cases, for random keys and for keys that hardly differ.
func TestHashAvalanche(t *testing.T) {
	const samples = 2048
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int) Key{
		"random":     func(int) Key { return randomKey(r) },
		"sequential": clientKey,
	} {
		for _, h := range hashes {
			for bit := range keyBits {
				if dst := bit >= 128 && bit < 256 || bit >= 272 && bit < 288; dst && h.ends == 1 {
					continue
				}
				var flips [64]int
				for i := range samples {
					k := next(i)
					changed := flip(k, bit)
					for d := h.hash(&k, 7) ^ h.hash(&changed, 7); d != 0; d &= d - 1 {
						flips[bits.TrailingZeros64(d)]++
					}
				}
				for out, n := range flips {
					// Six standard deviations of a fair coin: 1 in 5e8 by chance.
					if p := float64(n) / samples; math.Abs(p-0.5) > 6*0.5/math.Sqrt(samples) {
						t.Errorf("%s of %s keys: bit %d flips hash bit %d with probability %.3f", h.name, name, bit, out, p)
					}
				}
			}
		}
	}
}

// chiSquare returns how many standard deviations the spread of counts lies off
// that of a random function: about 0 for a good hash, large for clumps, and very
// negative for a suspicious regularity.
func chiSquare(counts []int, total int) float64 {
	expected := float64(total) / float64(len(counts))
	var sum float64
	for _, n := range counts {
		sum += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	freedom := float64(len(counts) - 1)
	return (sum - freedom) / math.Sqrt(2*freedom)
}

func TestHashSpread(t *testing.T) {
	const keys = 1 << 19
	for name, slot := range map[string]func(h uint64) int{
		"maglev, modulo 65537": func(h uint64) int { return int(h % 65537) },
		"lowest 6 bits":        func(h uint64) int { return int(h & 63) },
		"lowest 16 bits":       func(h uint64) int { return int(h & 0xffff) },
		"highest 8 bits":       func(h uint64) int { return int(h >> 56) },
		"highest 16 bits":      func(h uint64) int { return int(h >> 48) },
		"middle 12 bits":       func(h uint64) int { return int(h >> 26 & 0xfff) },
	} {
		for _, h := range hashes {
			counts := make([]int, 65537)
			top := 0
			for i := range keys {
				k := clientKey(i)
				s := slot(h.hash(&k, 0))
				counts[s]++
				top = max(top, s)
			}
			if d := chiSquare(counts[:top+1], keys); math.Abs(d) > 5 {
				t.Errorf("%s, %s: sequential clients are spread %.1f standard deviations off random", h.name, name, d)
			}
		}
	}
}

func TestHashHasNoCollisionsAmongSequentialClients(t *testing.T) {
	const keys = 1 << 19
	for _, h := range hashes {
		seen := make(map[uint64]struct{}, keys)
		for i := range keys {
			k := clientKey(i)
			seen[h.hash(&k, 0)] = struct{}{}
		}
		if len(seen) != keys {
			t.Errorf("%s: %d distinct hashes of %d clients", h.name, len(seen), keys)
		}
	}
}

// Whoever may choose the source address of a packet must not be able to give all his
// packets the same hash, by what stands in the source.
func TestHashEndCannotBeCancelled(t *testing.T) {
	for _, secret := range []uint64{secret0, secret1, secret2, secret3} {
		for half := range 2 {
			seen := map[uint64]bool{}
			for n := range uint64(100) {
				var a Addr
				binary.LittleEndian.PutUint64(a[8*half:], secret)
				binary.LittleEndian.PutUint64(a[8-8*half:], n)
				seen[HashEnd(&a, 53, ProtoUDP, 7)] = true
			}
			if len(seen) != 100 {
				t.Errorf("%#x in half %d: %d hashes of 100 addresses", secret, half, len(seen))
			}
		}
	}
}

func BenchmarkHash(b *testing.B) {
	k := clientKey(3)
	var sum uint64
	for b.Loop() {
		sum += k.Hash(sum) // depends on the last one: latency, not throughput
	}
	sink = sum
}

var sink uint64

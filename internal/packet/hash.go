package packet

import (
	"encoding/binary"
	"math/bits"
)

// The hash's constants are fractional bits of square roots of small primes:
// numbers with nothing up their sleeve. The lowest bytes of secret1 and secret2
// lie outside 0x20..0x3f, so that no global unicast address (2000::/3) and no
// IPv4 address can cancel them and turn a product into zero.
const (
	secret0 = 0x9b05688c2b3e6c1f
	secret1 = 0xa54ff53a5f1d36f1
	secret2 = 0x510e527fade682d1
	secret3 = 0xbb67ae8584caa73b
)

// Hash returns a 64-bit hash of k, every bit of which is good to use. It is
// the same on every machine for the same seed, so that balancers that share
// nothing but their configuration choose the same backend. Where an attacker
// must not be able to aim at a bucket, use a random seed.
//
// The shape is that of wyhash: words are folded in pairs by 64x64 -> 128 bit
// multiplications that do not wait for each other, and once more together. The upper
// halves of the addresses count only where there are any: IPv4 has none.
func (k *Key) Hash(seed uint64) uint64 {
	seed ^= secret0
	// Not next to each other, or the compiler makes one load of three fields that the
	// parser has just stored apart: the processor would wait until they are in the cache.
	ports := uint64(k.SrcPort)<<48 | uint64(k.DstPort)<<24 | uint64(k.Proto)
	addresses := fold(word(k.Src[8:])^secret1, word(k.Dst[8:])^seed)
	if src, dst := word(k.Src[:8]), word(k.Dst[:8]); src|dst != 0 {
		addresses ^= fold(src^secret2, dst^seed)
	}
	return fold(addresses^secret1, fold(ports^secret3, seed)^secret2)
}

// HashEnd returns a 64-bit hash of one end of a flow, every bit of which is good to use.
// Nobody can cancel a half of the address who does not know the seed.
func HashEnd(a *Addr, port uint16, proto uint32, seed uint64) uint64 {
	seed ^= secret0
	address := fold(word(a[8:])^seed, word(a[:8])^secret2^bits.RotateLeft64(seed, 32))
	end := uint64(port)<<32 | uint64(proto)
	return fold(address^secret1, fold(end^secret3, seed)^secret2)
}

// word reads eight bytes in one fixed order, whatever the machine's own.
func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// fold multiplies and folds the 128-bit product into 64 bits.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// slowSum is the ones'-complement sum as RFC 1071 puts it, modulo 65535.
func slowSum(b []byte) uint64 {
	var s uint64
	for i, c := range b {
		s += uint64(c) << (8 * (1 - i%2))
	}
	return s % 0xffff
}

func TestSumIsTheSlowSum(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for n := range 200 {
		for range 50 {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32()) | byte(r.IntN(2)*0xff) // many 0xff: many carries
			}
			if got := uint64(fold16(sum(b))) % 0xffff; got != slowSum(b) {
				t.Fatalf("sum of %x is %#x, want %#x", b, got, slowSum(b))
			}
		}
	}
}

// Folding keeps the value modulo 65535, and only 0 gives 0.
func TestFold16(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	check := func(s uint64) {
		got := fold16(s)
		if uint64(got)%0xffff != s%0xffff || (got == 0) != (s == 0) {
			t.Fatalf("fold16(%#x) = %#x", s, got)
		}
	}
	for _, s := range []uint64{0, 1, 0xffff, 0x10000, 0x1fffe, 0xffffffff, 1 << 32, 0xffffffffffff, 1<<63 - 1, 1 << 63, 1<<64 - 1, 0xffff0000ffff0001} {
		check(s)
	}
	for range 300_000 {
		check(r.Uint64() >> r.IntN(64))
	}
}

// A checksum brought up to date is the one computed anew, bit for bit: of the two
// zeros, both are always 0, since the data is not all zero.
func TestUpdateIsRecomputing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 100_000 {
		data := make([]byte, 8) // checksum at 0, the word that changes at 2
		binary.BigEndian.PutUint64(data, r.Uint64()&(r.Uint64()|0xffff<<32)|1)
		setSum(data[0:2], data, 0)
		from, to := binary.LittleEndian.Uint16(data[2:]), uint16(r.Uint32())*uint16(r.IntN(2))
		updated := [8]byte(data)
		binary.LittleEndian.PutUint16(updated[2:], to)
		update((*[2]byte)(updated[:2]), uint64(^from)+uint64(to))

		binary.LittleEndian.PutUint16(data[2:], to)
		setSum(data[0:2], data, 0)
		if updated != [8]byte(data) {
			t.Fatalf("%#04x -> %#04x: updated to %x, computed anew %x", from, to, updated, data)
		}
	}
}

// RFC 1624, 4: the example on which the equation of RFC 1141 fails.
func TestUpdateExampleOfRFC1624(t *testing.T) {
	field := [2]byte{0xdd, 0x2f}
	from, to := uint16(0x5555), uint16(0x8532) // bytes swapped, as changes are
	update(&field, uint64(^from)+uint64(to))
	if field != [2]byte{0x00, 0x00} {
		t.Errorf("checksum %x, want 0000", field)
	}
}

package packet_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// piece is an IP fragment, taken apart in the slow and obvious way.
type piece struct {
	id     uint32
	offset int // in bytes
	more   bool
	df     bool
	proto  uint8
	hops   uint8
	data   []byte
}

// pieceOf reads a frame without VLAN tags and options that holds a fragment.
func pieceOf(b []byte) piece {
	ip := b[14:]
	if isIPv4(b) {
		place := binary.BigEndian.Uint16(ip[6:])
		return piece{
			uint32(binary.BigEndian.Uint16(ip[4:])), int(place&0x1fff) * 8, place&0x2000 != 0, place&0x4000 != 0,
			ip[9], ip[8], ip[20:binary.BigEndian.Uint16(ip[2:])],
		}
	}
	f := ip[40:]
	place := binary.BigEndian.Uint16(f[2:])
	return piece{
		binary.BigEndian.Uint32(f[4:]), int(place &^ 7), place&1 != 0, false,
		f[0], ip[7], ip[48 : 40+binary.BigEndian.Uint16(ip[4:])],
	}
}

// inPieces splits a frame into fragments that hold at most size bytes, a multiple of 8.
func inPieces(f packettest.Frame, id uint32, size int) (list [][]byte) {
	whole := f.Bytes()
	header := 14 + headerLen(f)
	data := whole[header : len(whole)-f.Padding]
	for offset := 0; offset < len(data); offset += size {
		n := min(size, len(data)-offset)
		more := uint16(0)
		if offset+n < len(data) {
			more = 1
		}
		b := bytes.Clone(whole[:header])
		if f.Is4() {
			set16(16, uint16(header-14+n))(b)
			set16(18, uint16(id))(b)
			set16(20, uint16(offset/8)|more<<13)(b)
			set16(24, 0)(b)
			set16(24, ^packettest.Sum(b[14:header]))(b)
		} else {
			b = append(b, b[20], 0, 0, 0)
			b = binary.BigEndian.AppendUint32(b, id)
			set16(header+2, uint16(offset)|more)(b)
			b[20] = 44
			set16(18, uint16(len(b)-54+n))(b)
		}
		list = append(list, append(b, data[offset:offset+n]...))
	}
	return list
}

// The fragments of a packet, each translated, are fragments of the translated packet,
// whatever order they are translated in.
func TestXlatFragments(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 79))
	for range 300 {
		f := withPorts(r)
		f.VLANs, f.IPOptions, f.Extensions, f.Padding, f.NoChecksum = nil, nil, nil, 0, false
		f.Payload = make([]byte, 1200+r.IntN(900))
		to, id := otherEnds(r, f), r.Uint32()
		whole, _ := xlat(t, f.Bytes(), &to)
		want := whole[14+headerLen(packettest.Verify(t, whole)):]
		got := make([]byte, len(want))
		seen := map[uint32]bool{}
		pieces := inPieces(f, id, 8*(8+r.IntN(60)))
		for i, at := range r.Perm(len(pieces)) {
			b, v := xlat(t, pieces[at], &to)
			if v != packet.Pending {
				t.Fatalf("%v of %x", v, pieces[at])
			}
			was, is := pieceOf(pieces[at]), pieceOf(b)
			seen[is.id] = true
			if is.offset != was.offset || is.more != was.more || is.proto != f.Proto || is.hops != f.TTL-1 || is.df {
				t.Fatalf("%+v becomes %+v", was, is)
			}
			if uint16(is.id) != uint16(id) {
				t.Fatalf("%#x becomes %#x", id, is.id)
			}
			if isIPv4(b) && packettest.Sum(b[14:34]) != 0 {
				t.Fatalf("wrong header checksum: %x", b)
			}
			copy(got[is.offset:], is.data)
			if i == len(pieces)-1 && (len(seen) != 1 || !bytes.Equal(got, want)) {
				t.Fatalf("%d identifications, together\n%x, want\n%x", len(seen), got, want)
			}
		}
	}
}

// Clients that are behind one source address then must not be taken for each other by those
// who put their packets together, although their own counters are alike.
func TestXlatFragmentsOfManyClients(t *testing.T) {
	seen := map[uint32]bool{}
	r := rand.New(rand.NewPCG(19, 79))
	f := packettest.UDP(client4, service4, strings.Repeat("long", 400))
	to := otherEnds(r, f)
	for client := range 200 {
		b := inPieces(f, 7, 800)[1]
		b[14+15] = byte(client)
		out, _ := xlat(t, resummed(b), &to)
		seen[pieceOf(out).id] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d identifications for 200 clients", len(seen))
	}
}

// Two packets, written down byte by byte from the RFCs.
func TestXlatVectors(t *testing.T) {
	four := "02000000000202000000000108 00" +
		"46 b8 0024 1234 4000 40 11 3897 c6336407 c000020a 01010100" + // DF, one word of options
		"9c40 0035 000c 9e58 64617461"
	six := "02000000000202000000000186dd" +
		"6b800000 000c 11 3f 20010db8000200000000000000000005 20010db8000200000000000000000010" +
		"1388 0050 000c b7b0 64617461"
	to6 := keyOf("[2001:db8:2::5]:5000", "[2001:db8:2::10]:80")
	to4 := keyOf("10.0.0.5:5000", "10.0.0.11:80")
	fourOut := "02000000000202000000000108 00" +
		"45 b8 0020 beef 0000 3e 11 a916 0a000005 0a00000b" +
		"1388 0050 000c ff2b 64617461"
	got, v := xlat(t, bytesOf(t, four), &to6)
	if want := bytesOf(t, six); v != packet.Pending || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", v, got, want)
	}
	got, v = xlat(t, bytesOf(t, six), &to4)
	if want := bytesOf(t, fourOut); v != packet.Pending || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", v, got, want)
	}
}

// keyOf returns the key of a datagram from src to dst.
func keyOf(src, dst string) packet.Key {
	f := packettest.UDP(src, dst, "")
	return f.Key()
}

func bytesOf(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

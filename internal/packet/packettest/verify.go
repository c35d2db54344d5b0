package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/afxlb/afxlb/internal/packet"
)

// Verify decodes frame and fails the test unless all of it is well-formed and
// every checksum right.
func Verify(t testing.TB, frame []byte) Frame {
	t.Helper()
	f, err := Check(frame)
	if err != nil {
		t.Fatalf("%v in frame %x", err, frame)
	}
	return f
}

// Equal fails the test unless frame is want on the wire, with right checksums.
func Equal(t testing.TB, frame []byte, want Frame) {
	t.Helper()
	if d := Diff(Verify(t, frame), want); d != "" {
		t.Fatalf("frame %x differs (-got +want):\n%s", frame, d)
	}
}

// Diff returns how two frames differ, "" when they do not.
func Diff(got, want Frame) string {
	return cmp.Diff(got, want, cmpopts.EquateComparable(got.Src, got.Src.Addr()), cmpopts.EquateEmpty())
}

// Check decodes frame and returns an error unless all of it is well-formed and
// every checksum right.
func Check(frame []byte) (Frame, error) {
	f, err := Decode(frame)
	if err != nil {
		return f, err
	}
	return f, f.checksums(frame)
}

// checksums verifies the checksums of the bytes that f was decoded from.
func (f Frame) checksums(frame []byte) error {
	ip := frame[14+4*len(f.VLANs) : len(frame)-f.Padding]
	var pseudo []byte
	header := 40
	if f.Is4() {
		header = 20 + len(f.IPOptions)
		if Sum(ip[:header]) != 0 {
			return errors.New("wrong IPv4 header checksum")
		}
		pseudo = append(pseudo, ip[12:20]...)
	} else {
		for _, e := range f.Extensions {
			header += 2 + len(e.Data)
		}
		pseudo = append(pseudo, ip[8:40]...)
	}
	l4 := ip[header:]
	switch f.Proto {
	case packet.ProtoUDP:
		if f.NoChecksum && f.Is4() {
			return nil
		}
		if n := int(binary.BigEndian.Uint16(l4[4:])); n != 0 {
			l4 = l4[:n]
		}
		if f.NoChecksum {
			return errors.New("no UDP checksum in IPv6")
		}
	case packet.ProtoICMP:
		if Sum(l4) != 0 {
			return errors.New("wrong ICMP checksum")
		}
		return nil
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(l4)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(f.Proto))
	if sum := Sum(append(pseudo, l4...)); sum != 0 {
		return fmt.Errorf("checksum of protocol %d is wrong by %#04x", f.Proto, sum)
	}
	return nil
}

// Sum returns the ones'-complement sum of b (RFC 1071) in the slow and obvious
// way: the sum of its 16-bit words modulo 65535. It is 0 for data that holds its
// own right checksum.
func Sum(b []byte) uint16 {
	var sum uint64
	for i, c := range b {
		if i%2 == 0 {
			sum += uint64(c) << 8
		} else {
			sum += uint64(c)
		}
	}
	return uint16(sum % 0xffff)
}

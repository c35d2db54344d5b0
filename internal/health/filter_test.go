package health

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// filtered returns the two ends of a pair of sockets of which the second has the filter:
// the kernel runs it on what is sent, from its first byte, as on a packet.
func filtered(t *testing.T, program []unix.SockFilter) (in, out int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	err = unix.SetsockoptSockFprog(pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		t.Fatal(err)
	}
	return pair[0], pair[1]
}

// passes sends a packet through the filter.
func passes(t rapid.TB, in, out int, b []byte) bool {
	if err := unix.Sendto(in, b, 0, nil); err != nil {
		t.Fatalf("send %d bytes: %v", len(b), err)
	}
	n, err := unix.Read(out, make([]byte, 2048))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("read: %v", err)
	}
	return n > 0
}

// TestFilter holds the kernel's answer against the parser's, for packets that differ from
// an answer in this or that.
func TestFilter(t *testing.T) {
	const secret = 0xbeef
	for _, ipv4 := range []bool{true, false} {
		in, out := filtered(t, answers(ipv4, secret))
		rapid.Check(t, func(t *rapid.T) {
			of := genAddrPort(rapid.Bool().Draw(t, "IPv4"))
			s := segment{
				from: of.Draw(t, "from"), to: of.Draw(t, "to"),
				ack:   rapid.SampledFrom([]uint32{secret << 16, secret<<16 | 0xffff, (secret + 1) << 16, 0}).Draw(t, "ack"),
				flags: rapid.Byte().Draw(t, "flags"),
			}
			b := s.appendTo(nil, reach)
			if s.to.Addr().Is4() {
				binary.BigEndian.PutUint16(b[6:], rapid.SampledFrom([]uint16{1 << 14, 0, 1 << 13, 1 << 12, 1}).Draw(t, "fragment"))
			}
			if options := rapid.IntRange(0, 10).Draw(t, "options"); s.to.Addr().Is4() && options > 0 {
				b = append(append(append([]byte{}, b[:ipv4Len]...), make([]byte, options*4)...), b[ipv4Len:]...)
				b[0] += byte(options)
			}
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
			b = b[:len(b)-rapid.SampledFrom([]int{0, 0, 0, 1, 10, 30}).Draw(t, "cut")]
			if b[0]>>4 != 4 && ipv4 || b[0]>>4 != 6 && !ipv4 {
				return // the socket's protocol sees to that
			}
			got, ok := parseSegment(b)
			want := ok && got.flags&flagACK != 0 && got.ack>>16 == secret
			if ok && ipv4 && binary.BigEndian.Uint16(b[6:])&0x1fff != 0 { // a fragment that is not the first
				want = false
			}
			if passed := passes(t, in, out, b); passed != want && (ok || passed && len(b) < ipv4Len+14) {
				t.Errorf("%x: passes %v, want %v: %+v", b, passed, want, got)
			}
		})
	}
}

// TestFilterPassesAnAnswer, of either kind; the properties above could be of nothing.
func TestFilterPassesAnAnswer(t *testing.T) {
	for _, address := range []string{"192.0.2.10:80", "[2001:db8::10]:80"} {
		a := netip.MustParseAddrPort(address)
		in, out := filtered(t, answers(a.Addr().Is4(), 7))
		for flags, want := range map[uint8]bool{flagSYN | flagACK: true, flagRST | flagACK: true, flagSYN: false, flagRST: false, flagACK: true} {
			s := segment{from: a, to: a, ack: 7<<16 + 1, flags: flags}
			if got := passes(t, in, out, s.appendTo(nil, reach)); got != want {
				t.Errorf("%v, flags %b: passes %v", a, flags, got)
			}
		}
	}
}

package packet

import (
	"net/netip"
	"testing"
	"unsafe"
)

func TestAddr(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string
		is4  bool
	}{
		{"192.0.2.10", "192.0.2.10", true},
		{"0.0.0.0", "0.0.0.0", true},
		{"::ffff:192.0.2.10", "192.0.2.10", true},
		{"2001:db8::1", "2001:db8::1", false},
		{"::", "::", false},
		{"::1", "::1", false},
		{"::192.0.2.10", "::c000:20a", false},
		{"64:ff9b::c000:20a", "64:ff9b::c000:20a", false},
		{"fe80::1%eth0", "fe80::1", false},
	} {
		a := AddrFrom(netip.MustParseAddr(tt.in))
		if got := a.Netip().String(); got != tt.want || a.Is4() != tt.is4 {
			t.Errorf("%s: %s, Is4 %v; want %s, %v", tt.in, got, a.Is4(), tt.want, tt.is4)
		}
	}
}

func TestAddrIsWhatParseWrites(t *testing.T) {
	var a Addr
	for i := range a {
		a[i] = 0xee
	}
	a.setIPv4(0x0a0200c0) // little-endian
	if want := AddrFrom(netip.MustParseAddr("192.0.2.10")); a != want {
		t.Errorf("setIPv4 made %x, AddrFrom %x", a, want)
	}
}

func TestKeyReverse(t *testing.T) {
	k := clientKey(7)
	r := k.Reverse()
	if r.Src != k.Dst || r.Dst != k.Src || r.SrcPort != k.DstPort || r.DstPort != k.SrcPort || r.Proto != k.Proto {
		t.Errorf("reverse of %+v is %+v", k, r)
	}
	if r.Reverse() != k {
		t.Error("twice reversed is not the key")
	}
}

// A key is compared and hashed as plain memory, in maps too: no padding.
func TestKeyHasNoPadding(t *testing.T) {
	if n := unsafe.Sizeof(Key{}); n != 16+16+2+2+4 {
		t.Errorf("a Key takes %d bytes", n)
	}
}

package traffic

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestClientsDiffer(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		seen := map[netip.AddrPort]uint32{}
		for n := range uint32(200_000) {
			for _, m := range []uint32{n, Fresh | n} {
				c := f.Client(m)
				if other, ok := seen[c]; ok {
					t.Fatalf("%s: clients %d and %d are both %v", f, other, m, c)
				}
				seen[c] = m
			}
		}
	}
}

func TestClientsAreInTheRangesForBenchmarks(t *testing.T) {
	ranges := map[Family]netip.Prefix{IPv4: netip.MustParsePrefix("198.18.0.0/15"), IPv6: netip.MustParsePrefix("2001:2::/48")}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32().Draw(t, "client")
		for f, want := range ranges {
			if c := f.Client(n); !want.Contains(c.Addr()) || c.Port() < 0x8000 {
				t.Errorf("client %d is %v, want an address in %v and an ephemeral port", n, c, want)
			}
		}
	})
}

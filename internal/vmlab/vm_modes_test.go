//go:build vm

package vmlab

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// modes are the services of full NAT and of tunnels, whose clients and backends are of each
// family. They are more than most tests have time for.
func modes() (list []vip) {
	for _, mode := range []string{"fullnat", "ipip", "gue", "gre"} {
		for _, six := range []bool{false, true} {
			for _, across := range []bool{false, true} {
				addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + len(list))})
				if six {
					addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 2, 14: 1, 15: byte(len(list))})
				}
				list = append(list, vip{fmt.Sprint(mode, len(list)), mode, addr, across})
			}
		}
	}
	return list
}

// backend returns backend i's address of the family that the service's are of.
func (v *vip) backend(i int) netip.Addr {
	if v.addr.Is6() != v.across {
		return lab.BackendAddr6(i)
	}
	return lab.BackendAddr(i)
}

// keys are what the service's mode needs in the config.
func (v *vip) keys() string {
	if v.mode != "fullnat" {
		return ""
	}
	own := lab.BalancerPrefixes()[2:] // in the backends' networks, by family
	if v.addr.Is6() != v.across {
		own = own[1:]
	}
	return fmt.Sprintf("snat-addresses: [%q],", own[0].Addr())
}

// hold has the backends take packets out of tunnels, and hold the addresses of the services
// that come that way.
func (w *world) hold(list []vip) {
	w.t.Helper()
	for i, h := range w.lab.Backends {
		if err := h.Decapsulate(); err != nil {
			w.t.Fatal(err)
		}
		for _, v := range list {
			if v.mode == "fullnat" {
				continue
			}
			if err := h.AddAddrs("lo", netip.PrefixFrom(v.addr, v.addr.BitLen())); err != nil {
				w.t.Fatal(err)
			}
			if err := h.UDPEcho(netip.AddrPortFrom(v.addr, webPort).String(), fmt.Sprint("b", i)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// throughEach asks each of the services as traffic does; what is to come in a tunnel comes in
// one.
func (w *world) throughEach(t *testing.T, list []vip, n int) {
	t.Helper()
	for _, v := range list {
		before := w.decapsulated()
		w.trafficTo(t, v, n)
		if got := w.decapsulated() - before; v.mode != "fullnat" && got < uint64(4*n) { // SYN, its ACK, the request; a datagram
			t.Errorf("%s: %d packets came out of tunnels for %d questions", v.name, got, 2*n)
		}
	}
}

// decapsulated returns how many packets came out of tunnels.
func (w *world) decapsulated() (n uint64) {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		some, err := h.Decapsulated()
		if err != nil {
			w.t.Fatal(err)
		}
		n += some
	}
	return n
}

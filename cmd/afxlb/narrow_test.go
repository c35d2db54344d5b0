package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
)

// beyond is a host behind two routers, the first of which is a host of the lab's. What the
// link between them takes is less than both ends of a connection see of their own links, so
// that only an ICMP error tells them.
//
//	near ── mtu ── middle ── 1500 ── beyond
type beyond struct {
	*lab.Host
	near         *lab.Host
	addr4, addr6 netip.Addr
}

// addBeyond puts a host behind another one; n tells several apart. Of the ways there only
// those from near on are known.
func (w *world) addBeyond(near *lab.Host, n, mtu int) *beyond {
	w.t.Helper()
	prefix := func(format string) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf(format, n)) }
	middle, err := lab.NewHost("middle")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = middle.Close() })
	end, err := lab.NewHost("beyond")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = end.Close() })
	err = errors.Join(
		lab.Connect(near, "narrow", middle, "narrow", 1), lab.Connect(middle, "wide", end, lab.Interface, 1),
		near.SetMTU("narrow", mtu), middle.SetMTU("narrow", mtu),
		near.AddAddrs("narrow", prefix("172.20.%d.1/24"), prefix("2001:db8:20:%d::1/64")),
		middle.AddAddrs("narrow", prefix("172.20.%d.2/24"), prefix("2001:db8:20:%d::2/64")),
		middle.AddAddrs("wide", prefix("172.21.%d.1/24"), prefix("2001:db8:21:%d::1/64")),
		end.AddAddrs(lab.Interface, prefix("172.21.%d.2/24"), prefix("2001:db8:21:%d::2/64")),
		near.Forward(), middle.Forward(),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	b := &beyond{end, near, prefix("172.21.%d.2/32").Addr(), prefix("2001:db8:21:%d::2/128").Addr()}
	everywhere4, everywhere6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	w.route(near, b.net(b.addr4), prefix("172.20.%d.2/32").Addr(), "narrow")
	w.route(near, b.net(b.addr6), prefix("2001:db8:20:%d::2/128").Addr(), "narrow")
	w.route(middle, everywhere4, prefix("172.20.%d.1/32").Addr(), "narrow")
	w.route(middle, everywhere6, prefix("2001:db8:20:%d::1/128").Addr(), "narrow")
	w.route(end, everywhere4, prefix("172.21.%d.1/32").Addr(), lab.Interface)
	w.route(end, everywhere6, prefix("2001:db8:21:%d::1/128").Addr(), lab.Interface)
	return b
}

// net is the host's own network.
func (b *beyond) net(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked()
	}
	return netip.PrefixFrom(a, 24).Masked()
}

// of returns the host's address of a service's family.
func (b *beyond) of(vip netip.Addr) netip.Addr {
	if vip.Is6() {
		return b.addr6
	}
	return b.addr4
}

// reach has a host reach it by way of a gateway.
func (w *world) reach(b *beyond, from *lab.Host, by4, by6 netip.Addr) {
	w.t.Helper()
	w.route(from, b.net(b.addr4), by4, lab.Interface)
	w.route(from, b.net(b.addr6), by6, lab.Interface)
}

// answerBeyond has backends answer from dsr services' addresses to a client beyond client 0
// without the balancer: the rules that they have for these say so of table 100.
func (w *world) answerBeyond(b *beyond) {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		for a, by := range map[netip.Addr]netip.Addr{b.addr4: lab.ClientAddr(0), b.addr6: lab.ClientAddr6(0)} {
			to := b.net(a)
			_, dst, err := net.ParseCIDR(to.String())
			if err != nil {
				w.t.Fatal(err)
			}
			err = h.Netlink().RouteReplace(&netlink.Route{LinkIndex: w.interfaceOf(h).Index, Dst: dst, Gw: by.AsSlice(), Table: 100, Flags: int(netlink.FLAG_ONLINK)})
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

package main

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// A client stays with one backend over the services of a group, whatever the algorithm,
// also after a reload; when its backend goes it moves, and stays again.
func TestPersistence(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	services := func(more string) string {
		keys := "algorithm: round-robin, persistence: {timeout: 1m, group: shop}, " + quickHealth
		return w.writeConfig("afxlb.yaml", entry("web", natVIP4, port, keys, backendsOf(natVIP4)...), entry("streams", natVIP4, streamPort, keys, backendsOf(natVIP4)...),
			entry("dsr", dsrVIP4, port, "mode: dsr, "+keys, backendsOf(dsrVIP4)...), more)
	}
	p := w.serve(services(""))
	who := func(vip netip.Addr) string {
		t.Helper()
		name, err := w.get(vip)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	c, first, err := w.dialStream(w.lab.Clients[0], netip.AddrPortFrom(natVIP4, streamPort))
	if err != nil {
		t.Fatal(err)
	}
	stays := func(when, with string) {
		t.Helper()
		for range 6 {
			for _, vip := range []netip.Addr{natVIP4, dsrVIP4} {
				if name := who(vip); name != with {
					t.Fatalf("%s: a connection to %v went to %s, want %s", when, vip, name, with)
				}
			}
		}
	}
	stays("at first", first)
	services("conntrack: {timeouts: {icmp: 9s}}\n")
	p.reload()
	stays("after a reload", first)
	c.Close()

	i := int(first[1] - '0')
	w.web[i].Kill()
	p.await("see that it is down", func(api.Status) bool {
		return p.backend("web", first).State == "down" && p.backend("dsr", first).State == "down"
	})
	second := who(natVIP4)
	if second == first {
		t.Fatalf("%s is down, and answers", first)
	}
	if err := w.web[i].Start(); err != nil {
		t.Fatal(err)
	}
	stays("when its backend is gone", second)
	if n := p.status().Flows.Clients; n != 1 {
		t.Errorf("%d clients are remembered, want 1", n)
	}
	p.stop()
}

// Without affinity the datagrams of one socket go to all backends, and their answers come
// from the service.
func TestDatagramsWithoutAffinity(t *testing.T) {
	w := newWorld(t)
	w.listenDatagrams()
	vips := map[netip.Addr]string{natVIP4: "nat", natVIP6: "nat", dsrVIP4: "dsr", dsrVIP6: "dsr"}
	var services []string
	for vip, mode := range vips {
		services = append(services, entry("dns-"+vip.String(), vip, port, "protocol: udp, affinity: none, health: {type: none}, mode: "+mode+",", backendsOf(vip)...))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for vip := range vips {
		c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		seen := map[string]int{}
		for n := range 30 {
			seen[ask(t, c, fmt.Sprint("question ", n))]++
		}
		if len(seen) != 3 {
			t.Errorf("%v: the datagrams of one socket are answered by %v", vip, seen)
		}
	}
	p.checkSums()
	p.stop()
}

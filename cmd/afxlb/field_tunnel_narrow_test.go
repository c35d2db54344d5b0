package main

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Backends behind a link that takes 1280 bytes, the least that IPv6 may: what clients send by IPv6
// without asking what the way takes does not fit into a tunnel there, and gets through all
// the same. The backends' kernels put it together.
func TestFieldNarrowTunnels(t *testing.T) {
	const mtu = 1280
	w := newWorldOf(t, queues)
	w.forward(w.lab.Balancer) // the answers are the kernel's to route
	w.narrow(mtu)
	var list []tunnelled
	var config []string
	for _, s := range tunnels() {
		if s.vip.Is6() {
			list = append(list, s)
			config = append(config, entry(s.name, s.vip, streamPort, s.keys+", health: {type: none},", s.backends()...))
		}
	}
	w.decapsulate(list)
	w.listenStreams()
	p := w.serve(w.writePorts(config...))
	for _, s := range list {
		pieces := w.reassembled()
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(s.vip, streamPort), patience); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if n := w.reassembled() - pieces; n < 10 {
			t.Errorf("%s: %d packets were put together", s.name, n)
		}
	}
	p.checkSums()
	if n := p.counter("packets", "too-big"); n != 0 {
		t.Errorf("%d packets were too big", n)
	}
	p.stop()
}

// reassembled returns how many packets the backends' kernels have put together.
func (w *world) reassembled() (n int) {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		var four, six []byte
		err := h.Do(func() (err error) {
			if four, err = os.ReadFile("/proc/thread-self/net/snmp"); err == nil {
				six, err = os.ReadFile("/proc/thread-self/net/snmp6")
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		fields := strings.Fields(string(six))
		n += number(w.t, fields[slices.Index(fields, "Ip6ReasmOKs")+1])
		names, values, _ := strings.Cut(string(four), "\n") // of IP, in the first two lines
		n += number(w.t, strings.Fields(values)[slices.Index(strings.Fields(names), "ReasmOKs")])
	}
	return n
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// otherFamily is a backend's address of the family that vip is not of.
func otherFamily(i int, vip netip.Addr) netip.Addr {
	if vip.Is6() {
		return lab.BackendAddr(i)
	}
	return lab.BackendAddr6(i)
}

// mixed is the entry of a service with full NAT, whose backends are of the other family.
func mixed(name string, vip netip.Addr, at int, keys string) string {
	source := more6
	if vip.Is6() {
		source = more4
	}
	var backends []string
	for i := range 3 {
		backends = append(backends, fmt.Sprintf("{name: b%d, address: %q}", i, otherFamily(i, vip)))
	}
	return entry(name, vip, at, snatKeys(source)+keys, backends...)
}

// Clients of each family are served by backends that speak only the other one: connections,
// datagrams, and as much as fits, both ways.
func TestFieldFullNATBetweenFamilies(t *testing.T) {
	w := newWorld(t)
	w.unroute()
	w.addSources(more4, more6)
	w.listenDatagrams()
	w.listenStreams()
	const none = "health: {type: none},"
	var services []string
	for name, vip := range map[string]netip.Addr{"4": fullVIP4, "6": fullVIP6} {
		services = append(services, mixed("web"+name, vip, port, quickHealth), mixed("streams"+name, vip, streamPort, quickHealth),
			mixed("dns"+name, vip, port, "protocol: udp, "+none), mixed("closed"+name, vip, 9, "protocol: udp, "+none))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		if by := w.connections(t, vip, 20, 50); len(by) != 3 {
			t.Errorf("%v: answered by %v, want all three", vip, by)
		}
		by := map[string]int{}
		for range 30 {
			by[w.askUDP(vip)]++
		}
		if len(by) != 3 {
			t.Errorf("%v by UDP: answered by %v, want all three", vip, by)
		}
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort), patience); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
		if err := w.refusedByUDP(netip.AddrPortFrom(vip, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: a closed port says %v, want it refused", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// refusedByUDP sends datagrams until somebody says that the port is closed.
func (w *world) refusedByUDP(to netip.AddrPort) error {
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "udp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("anybody?")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 100))
	return err
}

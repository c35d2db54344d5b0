//go:build vm

package vmlab

import (
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// TestPorts: clients by one card, backends by another. Where both have zero-copy, or neither,
// their sockets share frames; where one alone has, what crosses is copied, and that is said.
func TestPorts(t *testing.T) {
	card := func(name string) nic {
		for _, n := range nics {
			if n.name == name {
				return n
			}
		}
		t.Fatalf("no card %s", name)
		return nic{}
	}
	eachKernel(t, func(t *testing.T, k *Kernel) {
		for _, pair := range [][2]string{{"igb", "igb"}, {"virtio-net", "virtio-net"}, {"igb", "virtio-net-plain"}, {"e1000e", "igb"}} {
			t.Run(strings.Join(pair[:], "-"), func(t *testing.T) {
				w, cards := newPortsWorld(t, k, card(pair[0]), card(pair[1])), [2]nic{card(pair[0]), card(pair[1])}
				b := w.serve(w.config(), "--interface", nicName+","+innerName)
				w.traffic(t, 50)
				s := b.status(t)
				_, outer := cards[0].ways(k)
				_, inner := cards[1].ways(k)
				copied := outer != inner
				for i, p := range s.Ports {
					mode, bind := cards[i].ways(k)
					t.Logf("%+v", p)
					if p.XDPMode != mode || p.Bind != bind || p.State != api.StateServing {
						t.Errorf("%s: %s, %s; want %s, %s", p.Name, p.XDPMode, p.Bind, mode, bind)
					}
					if p.Received == 0 || p.Sent == 0 || (p.Copied > 0) != copied {
						t.Errorf("%s: %d received, %d sent, %d of them copied", p.Name, p.Received, p.Sent, p.Copied)
					}
				}
				w.bulk(t)
				b.ledger(t)
				b.stop(t)
			})
		}
	})
}

// The second card of the guest, by which its backends are.
const innerName, innerMAC, innerTap = "lb1", "02:00:00:00:00:0b", "tap1"

// newPortsWorld builds a lab whose clients and backends are on links of their own, and boots
// a guest with a card on each, which is the router between them.
func newPortsWorld(t *testing.T, k *Kernel, outer, inner nic) *world {
	t.Helper()
	l := newLabOf(t, lab.Options{Inner: 1})
	if err := l.AddTap(tapName, outer.queues); err != nil {
		t.Fatal(err)
	}
	if err := l.AddInnerTap(innerTap, inner.queues); err != nil {
		t.Fatal(err)
	}
	g := boot(t, l.Switch, Options{
		Kernel: k, Memory: 1024, Image: balancerImage(t, outer.driver, inner.driver),
		NICs: []NIC{
			{Device: outer.device, Tap: tapName, Queues: outer.queues, MAC: mac},
			{Device: inner.device, Tap: innerTap, Queues: inner.queues, MAC: innerMAC},
		},
	})
	w := &world{t: t, lab: l, guest: g}
	in(t, g, "guest", "name", mac, nicName)
	in(t, g, "guest", "name", innerMAC, innerName)
	own := lab.BalancerPrefixes() // the clients' networks, then the backends'
	for i, name := range []string{nicName, innerName} {
		w.settle(name)
		in(t, g, "guest", "up", name)
		in(t, g, "guest", "addr", name, own[2*i].String(), own[2*i+1].String())
	}
	for _, s := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} { // dsr's answers
		in(t, g, "guest", "sysctl", s, "1")
	}
	return w
}

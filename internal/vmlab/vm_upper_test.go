//go:build vm

package vmlab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// TestUpper: what a plain kernel has no devices for. The balancer's addresses are on a
// device above the served interface: a VLAN's, a bond's, or a VLAN's on a bond. Clients and
// backends are served by the interface, with its tags, as if they were on it.
func TestUpper(t *testing.T) {
	nics := []NIC{
		{Device: "virtio-net-pci", Tap: "tap0", MAC: "02:00:00:00:00:0a"},
		{Device: "virtio-net-pci", Tap: "tap1", MAC: "02:00:00:00:00:0b"},
	}
	const vlan = 5
	eachKernel(t, func(t *testing.T, k *Kernel) {
		for _, test := range []struct {
			name   string
			upper  string // the device that has the addresses
			make   [][]string
			tagged bool
		}{
			{"vlan", "vlan5", [][]string{{"up", nicName}, {"vlan", "vlan5", nicName, "5"}}, true},
			{"bond", "bond1", [][]string{{"bond", "bond1", nicName, "lb1"}}, false},
			{"vlan-on-bond", "vlan5", [][]string{{"bond", "bond1", nicName, "lb1"}, {"up", "bond1"}, {"vlan", "vlan5", "bond1", "5"}}, true},
		} {
			t.Run(test.name, func(t *testing.T) {
				l := newLab(t, nics...)
				if test.tagged {
					for _, n := range nics {
						if err := l.Trunk(n.Tap, vlan); err != nil {
							t.Fatal(err)
						}
					}
				}
				g := boot(t, l.Switch, Options{Kernel: k, Memory: 1024, Image: balancerImage(t, "virtio_net", "8021q", "bonding"), NICs: nics})
				w := &world{t: t, lab: l, guest: g}
				in(t, g, "guest", "name", nics[0].MAC, nicName)
				in(t, g, "guest", "name", nics[1].MAC, "lb1")
				for _, verb := range test.make {
					in(t, g, append([]string{"guest"}, verb...)...)
				}
				w.setUp(test.upper)
				b := w.serve(w.config())
				w.traffic(t, 20)
				if test.name != "vlan" { // the bond turns to a slave that is not served
					if err := g.SetCable(0, false); err != nil {
						t.Fatal(err)
					}
					b.await(t, "tell why nobody can be reached", func() error { return b.unreachable(t, "no carrier") })
					if err := g.SetCable(0, true); err != nil {
						t.Fatal(err)
					}
					b.await(t, "tell of the slave that is not served", func() error { return b.unreachable(t, "lb1, the active slave of bond1, is not served") })
				}
				b.stop(t)
			})
		}
		t.Run("two-nics", func(t *testing.T) {
			l := newLab(t, nics...)
			g := boot(t, l.Switch, Options{Kernel: k, Memory: 1024, Image: balancerImage(t, "virtio_net"), NICs: nics})
			w := &world{t: t, lab: l, guest: g}
			in(t, g, "guest", "name", nics[0].MAC, nicName)
			in(t, g, "guest", "name", nics[1].MAC, "lb1")
			in(t, g, "guest", "up", nicName)
			w.setUp("lb1")
			b := w.start(w.config())
			b.await(t, "tell why nobody can be reached", func() error { return b.unreachable(t, "lb1, which is not served") })
			b.stop(t)
		})
	})
}

// unreachable returns what speaks against all backends being told as unreachable for a
// reason that names the interface.
func (b *balancer) unreachable(t *testing.T, name string) error {
	var list []api.Backend
	if err := b.ask(t, &list, "backends"); err != nil {
		return err
	}
	if len(list) != backends*3*len(vips) {
		return fmt.Errorf("%d backends", len(list))
	}
	for _, one := range list {
		if one.State != "unreachable" || !strings.Contains(one.Reason, name) {
			return fmt.Errorf("%s of %s is %s: %q", one.Name, one.Service, one.State, one.Reason)
		}
	}
	return nil
}

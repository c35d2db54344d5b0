//go:build vm

package vmlab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// TestUpper: what a plain kernel has no devices for, and afxlb does not serve yet. Each
// backend that only such a way leads to must be told as unreachable, with the reason, and
// never be taken for one that can serve.
func TestUpper(t *testing.T) {
	nics := []NIC{
		{Device: "virtio-net-pci", Tap: "tap0", MAC: "02:00:00:00:00:0a"},
		{Device: "virtio-net-pci", Tap: "tap1", MAC: "02:00:00:00:00:0b"},
	}
	eachKernel(t, func(t *testing.T, k *Kernel) {
		for _, test := range []struct {
			name   string
			served string // the interface that afxlb serves
			upper  string // the one that has the addresses
			make   [][]string
			reason string
		}{
			{"vlan", nicName, "vlan5", [][]string{{"up", nicName}, {"vlan", "vlan5", nicName, "5"}}, "vlan5"},
			{"bond", nicName, "bond1", [][]string{{"bond", "bond1", nicName, "lb1"}}, "bond1"},
			{"two-nics", nicName, "lb1", [][]string{{"up", nicName}, {"up", "lb1"}}, "lb1"},
		} {
			t.Run(test.name, func(t *testing.T) {
				l := newLab(t, nics...)
				g := boot(t, l.Switch, Options{Kernel: k, Memory: 1024, Image: balancerImage(t, "virtio_net", "8021q", "bonding"), NICs: nics})
				w := &world{t: t, lab: l, guest: g}
				in(t, g, "guest", "name", nics[0].MAC, nicName)
				in(t, g, "guest", "name", nics[1].MAC, "lb1")
				for _, verb := range test.make {
					in(t, g, append([]string{"guest"}, verb...)...)
				}
				w.setUp(test.upper)
				b := w.start(w.config())
				b.await(t, "tell why nobody can be reached", func() error { return b.unreachable(t, test.reason) })
				b.stop(t)
			})
		}
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

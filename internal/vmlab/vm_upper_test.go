//go:build vm

package vmlab

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
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
			served string
			upper  string // the device that has the addresses
			make   [][]string
			tagged bool
		}{
			{"vlan", nicName, "vlan5", [][]string{{"up", nicName}, {"vlan", "vlan5", nicName, "5"}}, true},
			{"slave", nicName, "bond1", [][]string{{"bond", "bond1", nicName, "lb1"}}, false},
			{"bond", "bond1", "bond1", [][]string{{"bond", "bond1", nicName, "lb1"}}, false},
			{"vlan-on-bond", "bond1", "vlan5", [][]string{{"bond", "bond1", nicName, "lb1"}, {"up", "bond1"}, {"vlan", "vlan5", "bond1", "5"}}, true},
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
				b := w.serve(w.config(), "--interface", test.served)
				w.traffic(t, 20)
				switch test.served {
				case "bond1":
					w.failOver(t, b)
				case nicName:
					if test.upper == "bond1" {
						w.leaveServed(t, b)
					}
				}
				b.stop(t)
				if test.tagged {
					w.hold(modes())
					b := w.serve(w.configOf(modes()), "--interface", test.served)
					w.throughEach(t, modes(), 20)
					b.stop(t)
				}
			})
		}
		t.Run("slaves", func(t *testing.T) {
			l := newLab(t, nics...)
			g := boot(t, l.Switch, Options{Kernel: k, Memory: 1024, Image: balancerImage(t, "virtio_net", "bonding"), NICs: nics})
			w := &world{t: t, lab: l, guest: g}
			in(t, g, "guest", "name", nics[0].MAC, nicName)
			in(t, g, "guest", "name", nics[1].MAC, "lb1")
			in(t, g, "guest", "bond", "bond1", nicName)
			w.setUp("bond1")
			b := w.serve(w.bonded(t))
			w.slaves(t, b)
			b.stop(t)
		})
		t.Run("two-vlans", func(t *testing.T) { // clients on one, backends on the other
			l := newLab(t, nics[0])
			err := l.Trunk(nics[0].Tap, vlan, 6)
			for _, h := range l.Backends {
				err = errors.Join(err, l.SetVLAN(h, 6))
			}
			if err != nil {
				t.Fatal(err)
			}
			g := boot(t, l.Switch, Options{Kernel: k, Memory: 1024, Image: balancerImage(t, "virtio_net", "8021q"), NICs: nics[:1]})
			w := &world{t: t, lab: l, guest: g}
			in(t, g, "guest", "name", nics[0].MAC, nicName)
			in(t, g, "guest", "up", nicName)
			own := lab.BalancerPrefixes()
			for i, name := range []string{"vlan5", "vlan6"} {
				in(t, g, "guest", "vlan", name, nicName, name[4:])
				w.setUpWith(name, own[2*i:2*i+2]) // those of the clients' network, and of the backends'
			}
			w.hold(modes())
			b := w.serve(w.configOf(append(modes(), vips...)))
			w.traffic(t, 20)
			w.throughEach(t, modes(), 20)
			b.stop(t)
		})
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

// failOver has the bond turn to its other slave, and back. All goes on by that, connections
// that are open included.
func (w *world) failOver(t *testing.T, b *balancer) {
	t.Helper()
	var open []*upload
	for _, v := range vips {
		open = append(open, w.begin(t, v))
	}
	for _, nic := range []int{0, 1} {
		for _, in := range []bool{false, true} {
			if err := w.guest.SetCable(nic, in); err != nil {
				t.Fatal(err)
			}
			w.traffic(t, 20)
			for _, u := range open {
				u.send(t)
			}
		}
	}
	for _, u := range open {
		u.end(t)
	}
	if err := w.lab.Flood(); err != nil { // the other slave gets a copy of all
		t.Fatal(err)
	}
	w.traffic(t, 20)
	var list []api.Counter
	if err := b.ask(t, &list, "counters"); err != nil {
		t.Fatal(err)
	}
	if n := value(list, "packets", "standby"); n < 20 {
		t.Errorf("of copies %d were told from what they are copies of", n)
	}
}

// upload is a connection to a service that takes what comes, and in the end says what it was.
type upload struct {
	to   vip
	conn net.Conn
	sent hash.Hash
}

func (w *world) begin(t *testing.T, v vip) *upload {
	t.Helper()
	c, err := w.lab.Clients[0].Dial(t.Context(), "tcp", netip.AddrPortFrom(v.addr, sinkPort).String())
	if err == nil {
		t.Cleanup(func() { c.Close() })
		err = c.SetDeadline(time.Now().Add(bulkTime))
	}
	if err != nil {
		t.Fatal(err)
	}
	u := &upload{v, c, sha256.New()}
	u.send(t)
	return u
}

func (u *upload) send(t *testing.T) {
	t.Helper()
	b := make([]byte, 64<<10)
	_, _ = rand.Read(b) // never fails
	u.sent.Write(b)
	if _, err := u.conn.Write(b); err != nil {
		t.Fatalf("%s: %v", u.to.name, err)
	}
}

func (u *upload) end(t *testing.T) {
	t.Helper()
	if err := u.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(u.conn); err != nil || !bytes.Equal(got, u.sent.Sum(nil)) {
		t.Errorf("%s: the server has %x, %v; sent was %x", u.to.name, got, err, u.sent.Sum(nil))
	}
}

// leaveServed has the bond turn to a slave that is not served.
func (w *world) leaveServed(t *testing.T, b *balancer) {
	t.Helper()
	if err := w.guest.SetCable(0, false); err != nil {
		t.Fatal(err)
	}
	b.await(t, "tell why nobody can be reached", func() error { return b.unreachable(t, "no carrier") })
	if err := w.guest.SetCable(0, true); err != nil {
		t.Fatal(err)
	}
	b.await(t, "tell of the slave that is not served", func() error { return b.unreachable(t, "lb1, the active slave of bond1, is not served") })
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

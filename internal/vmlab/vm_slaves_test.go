//go:build vm

package vmlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// slaves has a bond that is served begin with one slave, get the other one, and lose the
// first, which comes back: each time the bond goes on by those that it has, and connections
// that are open live.
func (w *world) slaves(t *testing.T, b *balancer) {
	t.Helper()
	var open []*upload
	for _, v := range vips {
		open = append(open, w.begin(t, v))
	}
	check := func() {
		t.Helper()
		w.traffic(t, 20)
		for _, u := range open {
			u.send(t)
		}
	}
	b.awaitPorts(t, nicName)
	in(t, w.guest, "guest", "enslave", "lb1", "bond1")
	b.awaitPorts(t, nicName, "lb1")
	check()
	in(t, w.guest, "guest", "release", nicName)
	b.awaitPorts(t, "lb1")
	check()
	in(t, w.guest, "guest", "enslave", nicName, "bond1")
	b.awaitPorts(t, nicName, "lb1") // with the number that it had
	check()
	if err := w.guest.SetCable(1, false); err != nil {
		t.Fatal(err)
	}
	check()
	for _, u := range open {
		u.end(t)
	}
	// Without slaves there is nothing to serve, and with one there is.
	in(t, w.guest, "guest", "release", "lb1")
	in(t, w.guest, "guest", "release", nicName)
	b.await(t, "wait for a slave", func() error {
		if s := b.status(t); s.State != "waiting" {
			return fmt.Errorf("%s: %s", s.State, s.Reason)
		}
		return nil
	})
	in(t, w.guest, "guest", "enslave", nicName, "bond1")
	b.awaitPorts(t, nicName)
	b.awaitServing(t)
	w.traffic(t, 20)
}

// awaitPorts waits until these are served, in this order.
func (b *balancer) awaitPorts(t *testing.T, want ...string) {
	t.Helper()
	b.await(t, fmt.Sprint("serve ", want), func() error {
		s := b.status(t)
		var got []string
		for _, p := range s.Ports {
			if p.State == api.StateServing {
				got = append(got, p.Name)
			}
		}
		if !slices.Equal(got, want) || len(s.Ports) != len(want) || s.State != api.StateServing {
			return fmt.Errorf("%s (%s), ports %+v", s.State, s.Reason, s.Ports)
		}
		return nil
	})
}

// bonded is a config with all services on a bond, and one backend by its MAC address there.
func (w *world) bonded(t *testing.T) string {
	t.Helper()
	h := w.lab.Backends[0]
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(w.config(), "interface: "+nicName, "interface: bond1", 1) +
		fmt.Sprintf("neighbours:\n  %s: {mac: %q, port: bond1}\n", lab.BackendAddr(0), l.Attrs().HardwareAddr)
}

package nic

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// A plain kernel has no bonds: what becomes of them is shown where there are some.
func TestSlaves(t *testing.T) {
	link := func(name string, index, master int) netlink.Link {
		return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index, MasterIndex: master}}
	}
	list := []netlink.Link{link("eth0", 2, 9), link("eth1", 3, 0), link("eth2", 4, 9), link("bond0", 9, 0)}
	if got, err := slaves("bond0", 9, list); err != nil || !slices.Equal(got, []string{"eth0", "eth2"}) {
		t.Errorf("slaves %q, %v", got, err)
	}
	if got, err := slaves("bond1", 10, list); err == nil {
		t.Errorf("slaves %q of a bond without any", got)
	}
	for _, name := range []string{"lo", "nosuch0"} {
		if got, err := Slaves(name); err != nil || !slices.Equal(got, []string{name}) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

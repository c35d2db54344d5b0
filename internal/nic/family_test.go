package nic

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is found of a family is what the library finds, which reads it in its own way.
func TestFindFamily(t *testing.T) {
	for _, name := range []string{"nlctrl", "netdev", unix.ETHTOOL_GENL_NAME} {
		want, err := netlink.GenlFamilyGet(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := findFamily(name)
		if err != nil || got.id != want.ID || len(got.groups) != len(want.Groups) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
		for _, g := range want.Groups {
			if got.groups[g.Name] != g.ID {
				t.Errorf("%s: group %s is %d, want %d", name, g.Name, got.groups[g.Name], g.ID)
			}
		}
	}
	if _, err := findFamily("nosuch"); err == nil || !strings.Contains(err.Error(), "family nosuch of generic netlink: no such file") {
		t.Errorf("of none: %v", err)
	}
}

// A question has no byte of anybody else's in it: here others write behind each place that there
// is for something small, and the race detector sees who reads that.
func TestFindFamilyBesideOthers(t *testing.T) {
	blocks := make([]*[16]byte, 4096)
	for i := range blocks {
		blocks[i] = new([16]byte)
	}
	for i := 0; i < len(blocks); i += 2 {
		blocks[i] = nil
	}
	runtime.GC()
	var end atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		for !end.Load() {
			for i := 1; i < len(blocks); i += 2 {
				blocks[i][0]++
			}
		}
	})
	for range 100 {
		if _, err := findFamily("nlctrl"); err != nil {
			t.Error(err)
			break
		}
	}
	end.Store(true)
	other.Wait()
}

package bpf

import (
	"net"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/afxlb/afxlb/internal/testutil"
)

// newNamespace puts the test into a network namespace of its own, which goes away
// with all that is in it when the test ends.
func newNamespace(t testing.TB) {
	t.Helper()
	testutil.RequireRoot(t)
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(home); err != nil {
			t.Fatal(err) // the thread stays locked, and so is not used again
		}
		ns.Close()
		home.Close()
		runtime.UnlockOSThread()
	})
}

// newVeth returns both ends of a veth pair that is up, v0 and v1, on which nobody sends but the
// test: with addresses of their own the kernel's neighbour discovery does, up to two seconds
// later, and a program that is attached counts that too.
func newVeth(t testing.TB, change ...func(*netlink.Veth)) (v0, v1 netlink.Link) {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "v1"}
	pair.Name, pair.NumRxQueues, pair.NumTxQueues, pair.PeerNumRxQueues, pair.PeerNumTxQueues = "v0", 1, 1, 1, 1
	pair.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, change := range change {
		change(pair)
	}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatalf("add a veth pair: %v", err)
	}
	v0, v1 = linkByName(t, "v0"), linkByName(t, "v1")
	const none = 1 // IN6_ADDR_GEN_MODE_NONE in include/uapi/linux/if_link.h
	for _, l := range []netlink.Link{v0, v1} {
		if err := netlink.LinkSetIP6AddrGenMode(l, none); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	return v0, v1
}

func linkByName(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// attached returns the ID of the XDP program on an interface and its mode, 0 and
// "" if there is none.
func attached(t testing.TB, name string) (id uint32, mode AttachMode) {
	t.Helper()
	x := linkByName(t, name).Attrs().Xdp
	if x == nil || !x.Attached {
		return 0, ""
	}
	switch x.AttachMode { // XDP_ATTACHED_* in include/uapi/linux/if_link.h
	case 1:
		return x.ProgId, Native
	case 2:
		return x.ProgId, Generic
	}
	t.Fatalf("%s: attach mode %d", name, x.AttachMode)
	return 0, ""
}

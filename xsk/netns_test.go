package xsk_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

// The helpers of the tests on a real kernel. Each such test has a network namespace of
// its own with a pair of veths, v0 and v1, that ends with it.

// inNetns puts the test's goroutine into a new network namespace, on a thread of its
// own. Goroutines that it starts are elsewhere: they may use sockets, not open them.
func inNetns(t testing.TB) {
	t.Helper()
	testutil.RequireRoot(t)
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		// A thread that can't go back is not unlocked, and so ends with the goroutine.
		if err := netns.Set(origin); err != nil {
			t.Error(err)
		} else {
			runtime.UnlockOSThread()
		}
		origin.Close()
	})
	// No neighbour discovery between the test's packets.
	err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// addVeth makes the pair v0 and v1, both up, with so many queues each.
func addVeth(t testing.TB, queues int) (v0, v1 netlink.Link) {
	t.Helper()
	return addPair(t, "v0", "v1", queues)
}

// addPair makes a pair of veths of other names.
func addPair(t testing.TB, name, peer string, queues int) (near, far netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.NumRxQueues, attrs.NumTxQueues = queues, queues
	pair := &netlink.Veth{
		LinkAttrs: attrs, PeerName: peer,
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues),
	}
	must(t, netlink.LinkAdd(pair))
	near, far = linkByName(t, name), linkByName(t, peer)
	must(t, netlink.LinkSetUp(near))
	must(t, netlink.LinkSetUp(far))
	return near, far
}

func linkByName(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

// waitUp waits for a link's carrier, which the kernel tells of with some delay.
func waitUp(t testing.TB, l netlink.Link) {
	t.Helper()
	updates, stop := make(chan netlink.LinkUpdate), make(chan struct{})
	defer close(stop)
	must(t, netlink.LinkSubscribeWithOptions(updates, stop, netlink.LinkSubscribeOptions{ListExisting: true}))
	for u := range updates {
		if u.Attrs().Name == l.Attrs().Name && u.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Fatalf("%s did not come up", l.Attrs().Name)
}

// redirect attaches the smallest steering program to a link,
//
//	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS)
//
// and returns the map to put sockets into.
func redirect(t testing.TB, l netlink.Link) *ebpf.Map {
	t.Helper()
	const (
		rxQueueIndex = 16 // in struct xdp_md
		xdpPass      = 2
	)
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sockets.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:    ebpf.XDP,
		License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
			asm.LoadMapPtr(asm.R1, sockets.FD()),
			asm.Mov.Imm(asm.R3, xdpPass),
			asm.FnRedirectMap.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	attached, err := link.AttachXDP(link.XDPOptions{
		Program: program, Interface: l.Attrs().Index, Flags: link.XDPDriverMode,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attached.Close() })
	return sockets
}

// open opens a socket that the test closes at its end.
func open(t testing.TB, c xsk.Config) *xsk.Socket {
	t.Helper()
	s, err := xsk.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	s.Recycle() // of one that shares frames the owner's to do
	return s
}

// enter puts a socket into the map of its interface's program.
func enter(t testing.TB, sockets *ebpf.Map, s *xsk.Socket) {
	t.Helper()
	must(t, sockets.Put(uint32(s.Info().Queue), uint32(s.FD())))
}

// rawSocket returns an AF_PACKET socket on a link, for all that arrives there.
func rawSocket(t testing.TB, l netlink.Link) int {
	t.Helper()
	const all = uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index}))
	return fd
}

// receive reads a packet from a raw socket, ten seconds at most.
func receive(fd int, buf []byte) ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != unix.EINTR { // a receive with a limit is not restarted after a signal
			return buf[:max(n, 0)], err
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachDriver runs a test for both drivers.
func eachDriver(t *testing.T, f func(t *testing.T, driver xsk.Driver)) {
	t.Run(string(xsk.DriverNative), func(t *testing.T) { f(t, xsk.DriverNative) })
	t.Run(string(xsk.DriverAsavie), func(t *testing.T) {
		testutil.RequireLinux(t, 6, 4, "rings that can be mapped once the socket is bound")
		f(t, xsk.DriverAsavie)
	})
}

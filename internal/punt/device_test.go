package punt

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

// stage is a lab, and a device in its balancer.
type stage struct {
	*lab.Lab
	t      *testing.T
	device *Device
}

func newStage(t *testing.T, queues int, settings ...string) *stage {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{Lab: l, t: t, device: &Device{}}
	t.Cleanup(func() {
		if err := errors.Join(s.device.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	s.set(settings...)
	must(t, l.Balancer.Do(func() error { s.device = Open(lab.Interface, queues); return nil }))
	return s
}

// set writes settings of the balancer's namespace, each "name=value".
func (s *stage) set(settings ...string) {
	s.t.Helper()
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		must(s.t, s.Balancer.Sysctl(name, value))
	}
}

// open returns a device that nothing stands against.
func (s *stage) open() *Device {
	s.t.Helper()
	if o := s.device.Obstacles(); len(o) != 0 {
		s.t.Fatalf("obstacles: %q", o)
	}
	return s.device
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// frame is a datagram from a backend to port 5000 of an address.
func frame(from, to netip.Addr, payload string) []byte {
	f := packettest.UDP(netip.AddrPortFrom(from, 8080).String(), netip.AddrPortFrom(to, 5000).String(), payload)
	f.DstMAC = packet.MAC{2, 0xff, 0, 0, 0, 1} // a VRRP address of the balancer's, say
	return f.Bytes()
}

// mustArrive holds that a host got a datagram, from where it was sent.
func mustArrive(t *testing.T, c net.PacketConn, from netip.Addr, payload string) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	b := make([]byte, 100)
	n, who, err := c.ReadFrom(b)
	if err != nil || string(b[:n]) != payload || who.(*net.UDPAddr).AddrPort().Addr().Unmap() != from {
		t.Errorf("%q from %v, want %q from %v: %v", b[:n], who, payload, from, err)
	}
}

// What is given back is forwarded as the machine's settings say, by every queue; the
// strict reverse path filter of all interfaces does not stand against it.
func TestForward(t *testing.T) {
	for name, filter := range map[string][]string{
		"no filter":     nil,
		"strict filter": {"net/ipv4/conf/all/rp_filter=1", "net/ipv4/conf/default/rp_filter=1"},
		"loose filter":  {"net/ipv4/conf/all/rp_filter=2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 2, append(filter, "net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")...)
			s.mustForward(lab.BackendAddr(0), lab.ClientAddr(0))
			s.mustForward(lab.BackendAddr6(0), lab.ClientAddr6(0))
		})
	}
}

// mustForward holds that what is given back goes from a backend to a client.
func (s *stage) mustForward(from, to netip.Addr) {
	s.t.Helper()
	d := s.open()
	if !d.Forwards(to.Is6()) {
		s.t.Errorf("%v would not be forwarded", to)
	}
	in, err := s.Clients[0].ListenPacket("udp", netip.AddrPortFrom(to, 5000).String())
	must(s.t, err)
	defer in.Close()
	for queue, payload := range []string{"by one", "by the other", "by one more"} {
		if !d.Write(queue, frame(from, to, payload)) {
			s.t.Errorf("queue %d takes nothing", queue)
		}
		mustArrive(s.t, in, from, payload)
	}
}

// What is for the machine itself arrives too.
func TestDeliverHere(t *testing.T) {
	s := newStage(t, 1)
	in, err := s.Balancer.ListenPacket("udp", netip.AddrPortFrom(lab.BalancerAddr(), 5000).String())
	must(t, err)
	defer in.Close()
	if !s.open().Write(0, frame(lab.BackendAddr(0), lab.BalancerAddr(), "to here")) {
		t.Error("nothing was taken")
	}
	mustArrive(t, in, lab.BackendAddr(0), "to here")
}

// Whether the machine forwards is followed: by all settings that it goes by.
func TestFollow(t *testing.T) {
	s := newStage(t, 1)
	d := s.open()
	for _, step := range []struct {
		setting    string
		ipv4, ipv6 bool
	}{
		{"net/ipv4/ip_forward=1", true, false},
		{"net/ipv6/conf/all/forwarding=1", true, true},
		{"net/ipv4/conf/eth0/forwarding=0", false, true},
		{"net/ipv4/conf/eth0/forwarding=1", true, true},
		{"net/ipv6/conf/all/forwarding=0", true, false},
		{"net/ipv4/ip_forward=0", false, false},
	} {
		s.set(step.setting)
		for deadline := time.Now().Add(30 * time.Second); d.Forwards(false) != step.ipv4 || d.Forwards(true) != step.ipv6; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: forwards IPv4 %v, IPv6 %v", step.setting, d.Forwards(false), d.Forwards(true))
			}
		}
	}
}

// The strict filter is not the device's for long, whoever sets it: programs do, to new
// interfaces.
func TestFilterIsSetBack(t *testing.T) {
	s := newStage(t, 1, "net/ipv4/ip_forward=1")
	d := s.open()
	s.set("net/ipv4/conf/" + d.Name() + "/rp_filter=1")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		is, err := d.follower.kernel.settings(d.follower.punted)
		must(t, err)
		if of(is.ipv4, ipv4RPFilter) == looseRPFilter {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it stays strict")
		}
	}
}

// The device is nobody's but the balancer's: nobody gets to know of it, and it is gone
// when it is closed. There may be several.
func TestDevice(t *testing.T) {
	s := newStage(t, 1)
	d := s.open()
	link, err := s.Balancer.Netlink().LinkByName(d.Name())
	must(t, err)
	if a := link.Attrs(); a.Flags&net.FlagUp == 0 || a.RawFlags&unix.IFF_NOARP == 0 || !strings.Contains(a.Alias, lab.Interface) || string(a.HardwareAddr) != string(d.mac[:]) {
		t.Errorf("%+v", a)
	}
	if list, err := s.Balancer.Netlink().AddrList(link, unix.AF_UNSPEC); err != nil || len(list) != 1 || !list[0].Equal(dummy) {
		t.Errorf("it has addresses %v: %v", list, err)
	}
	var second *Device
	must(t, s.Balancer.Do(func() error { second = Open(lab.Interface, 1); return nil }))
	if len(second.Obstacles()) != 0 || second.Name() == d.Name() {
		t.Errorf("a second one is called %s, too: %q", second.Name(), second.Obstacles())
	}
	must(t, second.Close())
	if _, err := s.Balancer.Netlink().LinkByName(second.Name()); err == nil {
		t.Error("it is still there")
	}
}

// Somebody who finds a device that he does not know sets it down, or deletes it. It is there
// again soon, and takes packets as before.
func TestDeviceComesBack(t *testing.T) {
	s := newStage(t, 2, "net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")
	d, links := s.open(), s.Balancer.Netlink()
	was := d.mac
	for name, harm := range map[string]func(netlink.Link) error{
		"set down": links.LinkSetDown,
		"deleted":  links.LinkDel,
	} {
		link, err := links.LinkByName(d.Name())
		must(t, err)
		must(t, harm(link))
		s.awaitDevice(name)
		s.mustForward(lab.BackendAddr(0), lab.ClientAddr(0))
		s.mustForward(lab.BackendAddr6(0), lab.ClientAddr6(0))
	}
	if d.mac != was {
		t.Errorf("its address was %v and is %v, which workers may not see", was, d.mac)
	}
}

// awaitDevice waits until the device is there and set up as it should be.
func (s *stage) awaitDevice(after string) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		link, err := s.Balancer.Netlink().LinkByName(s.device.Name())
		if err == nil && link.Attrs().Flags&net.FlagUp != 0 {
			is, err := s.device.follower.kernel.settings(link.Attrs().Index)
			if err == nil && of(is.ipv4, ipv4RPFilter) == looseRPFilter && of(is.ipv4, ipv4Forwarding) != 0 {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: it does not come back: %v", after, err)
		}
	}
}

// What nobody has changed is not written: a notification of its own would be followed by
// another one without end.
func TestFollowComesToRest(t *testing.T) {
	s := newStage(t, 1, "net/ipv4/ip_forward=1")
	changes := make(chan netlink.LinkUpdate, 100)
	done := make(chan struct{})
	defer close(done)
	d := s.open()
	must(t, s.Balancer.Do(func() error { return netlink.LinkSubscribe(changes, done) }))
	const looks = 50
	for range looks {
		must(t, s.Balancer.Do(d.follower.adopt))
	}
	must(t, s.Balancer.Netlink().LinkSetAlias(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: d.follower.punted}}, "the last"))
	for told := 0; ; told++ {
		switch u := <-changes; {
		case u.Attrs().Alias == "the last":
			return
		case told == looks/2: // a few are of the interfaces' coming up
			t.Fatal("it is written each time")
		}
	}
}

// What stands against the way back is said, and nothing is taken.
func TestObstacles(t *testing.T) {
	s := newStage(t, 1)
	defer func() { // one that is left open would show in the goroutines
		if names, err := s.Balancer.Netlink().LinkList(); err != nil || len(names) != 3 { // lo, eth0 and the stage's own
			t.Errorf("%d interfaces: %v", len(names), err)
		}
	}()
	must(t, s.Balancer.Do(func() error {
		mustTell(t, Open("nosuch0", 1), "find nosuch0")
		return nil
	}))
	must(t, Possible())
	must(t, withoutTUN(s.Balancer, func() {
		mustTell(t, Open(lab.Interface, 1), "open /dev/net/tun")
		if err := Possible(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("without /dev/net/tun: %v", err)
		}
	}))
	var zero Device
	if zero.Write(0, frame(lab.BackendAddr(0), lab.ClientAddr(0), "")) || zero.Forwards(false) || zero.Name() != "" {
		t.Error("the zero device takes packets")
	}
}

func mustTell(t *testing.T, d *Device, why string) {
	t.Helper()
	if o := d.Obstacles(); len(o) != 1 || !strings.Contains(o[0], why) {
		t.Errorf("obstacles %q, want %q", o, why)
	}
	if d.Write(0, frame(lab.BackendAddr(0), lab.ClientAddr(0), "")) || d.Forwards(false) {
		t.Error("it takes packets")
	}
	must(t, d.Close())
}

// A device that would not see a family, or of packets that the kernel hands to another
// interface, is there, and says so.
func TestPartialObstacles(t *testing.T) {
	s := newStage(t, 1)
	must(t, s.Balancer.AddBridge("br0"))
	s.mustWarn("eth0 belongs to br0")
	s.set("net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/default/disable_ipv6=1")
	s.mustWarn("IPv6 is disabled")
	must(t, s.Balancer.Do(func() error {
		d := Open(lab.Interface, 1)
		if !d.Forwards(false) || d.Forwards(true) {
			t.Errorf("forwards IPv4 %v, and IPv6, which it would not see, %v", d.Forwards(false), d.Forwards(true))
		}
		return d.Close()
	}))
}

// mustWarn holds that a device that is made now is there, and why it is not for all.
func (s *stage) mustWarn(why string) {
	s.t.Helper()
	must(s.t, s.Balancer.Do(func() error {
		d := Open(lab.Interface, 1)
		if o := d.Obstacles(); len(o) == 0 || !strings.Contains(o[len(o)-1], why) || d.Name() == "" {
			s.t.Errorf("%s: %q, want %q", d.Name(), o, why)
		}
		return d.Close()
	}))
}

// withoutTUN runs f on a host where there is no /dev/net/tun.
func withoutTUN(h *lab.Host, f func()) error {
	return h.Do(func() error {
		runtime.LockOSThread() // once more, so that the thread ends with its mounts
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return os.NewSyscallError("mount", err)
		}
		if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
			return os.NewSyscallError("mount", err)
		}
		f()
		return nil
	})
}

// A fake has the frames as the kernel would have them.
func TestFake(t *testing.T) {
	var pair [2]int
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[1])
	mac := [6]byte{2, 0, 0, 0, 7, 7}
	d := NewFake(mac, true, pair[0])
	out := frame(lab.BackendAddr(0), lab.ClientAddr(0), "x")
	if !d.Write(0, out) || !d.Forwards(true) || !d.Forwards(false) {
		t.Error("the fake refuses")
	}
	in := make([]byte, 100)
	n, err := unix.Read(pair[1], in)
	must(t, err)
	if packet.DestinationMAC(in) != mac || n != len(out) {
		t.Errorf("%d bytes to %v", n, packet.DestinationMAC(in))
	}
	must(t, d.Close())
	if d.Write(0, out) {
		t.Error("a closed one takes frames")
	}
}

// No write allocates.
func TestWriteAllocatesNothing(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	defer unix.Close(pair[1])
	d := NewFake([6]byte{}, true, pair[0])
	defer d.Close()
	out := frame(lab.BackendAddr(0), lab.ClientAddr(0), "x")
	if n := testing.AllocsPerRun(5, func() { d.Write(0, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

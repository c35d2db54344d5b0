package bpf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ringSize and frameSize are those of boundSocket's rings and UMEM.
const ringSize, frameSize = 64, 2048

// boundSocket is the least AF_XDP socket that receives: an UMEM, a fill ring with
// all its frames, and an RX ring that is read once.
type boundSocket struct {
	fd       int
	umem     []byte
	rx       []byte
	offsets  unix.XDPRingOffset
	consumed uint32
}

// bindSocket opens a socket on a queue of an interface, to be closed at the test's end.
func bindSocket(t testing.TB, l netlink.Link, queue uint32) *boundSocket {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("AF_XDP socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	s := &boundSocket{fd: fd}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	mmap := func(fd int, offset int64, size, flags int) []byte {
		t.Helper()
		m, err := unix.Mmap(fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, flags)
		check("mmap", err)
		t.Cleanup(func() { unix.Munmap(m) })
		return m
	}
	s.umem = mmap(-1, 0, ringSize*frameSize, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	umem := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.umem[0]))), Len: uint64(len(s.umem)), Size: frameSize}
	check("XDP_UMEM_REG", setOption(s.fd, unix.XDP_UMEM_REG, unsafe.Pointer(&umem), unsafe.Sizeof(umem)))
	size := uint32(ringSize)
	for _, ring := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		check("ring", setOption(s.fd, ring, unsafe.Pointer(&size), unsafe.Sizeof(size)))
	}
	var offsets unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(offsets))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&offsets)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		t.Fatalf("XDP_MMAP_OFFSETS: %v", errno)
	}
	s.offsets = offsets.Rx
	s.rx = mmap(s.fd, unix.XDP_PGOFF_RX_RING, int(offsets.Rx.Desc)+16*ringSize, unix.MAP_SHARED|unix.MAP_POPULATE)
	fill := mmap(s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, int(offsets.Fr.Desc)+8*ringSize, unix.MAP_SHARED|unix.MAP_POPULATE)
	for i := range ringSize {
		binary.NativeEndian.PutUint64(fill[int(offsets.Fr.Desc)+8*i:], uint64(i*frameSize))
	}
	binary.NativeEndian.PutUint32(fill[offsets.Fr.Producer:], ringSize) // before bind: nobody looks yet
	check("bind", unix.Bind(s.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(l.Attrs().Index), QueueID: queue}))
	return s
}

func setOption(fd, option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// receive waits for the next packet; poll orders its bytes before our reads.
func (s *boundSocket) receive(t *testing.T) []byte {
	t.Helper()
	awaitReadable(t, s.fd)
	at := int(s.offsets.Desc) + 16*int(s.consumed%ringSize)
	address, length := binary.NativeEndian.Uint64(s.rx[at:]), binary.NativeEndian.Uint32(s.rx[at+8:])
	s.consumed++
	binary.NativeEndian.PutUint32(s.rx[s.offsets.Consumer:], s.consumed)
	return s.umem[address : address+uint64(length)]
}

func awaitReadable(t *testing.T, fd int) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		n, err := unix.Poll(p, int(time.Until(deadline).Milliseconds()))
		if n == 1 && err == nil {
			return
		}
		if err != unix.EINTR && (err != nil || n == 0) {
			t.Fatalf("nothing came within 10 seconds: %v", err)
		}
	}
}

// TestRealSocket sends real packets over a veth pair: a service's reach the AF_XDP
// socket as they were sent, all else the kernel's own sockets; and none of a
// service's reach the kernel once the socket is gone, though it has the address
// and a listener there.
func TestRealSocket(t *testing.T) {
	for _, mode := range []AttachMode{Native, Generic} {
		t.Run(string(mode), func(t *testing.T) {
			newNamespace(t)
			v0, v1 := newVeth(t)
			if err := netlink.AddrAdd(v0, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(own4), Mask: net.CIDRMask(24, 32)}}); err != nil {
				t.Fatal(err)
			}
			listen := func(port int) *net.UDPConn {
				c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(own4), Port: port})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			foreign, service := listen(5000), listen(443)
			p := load(t, Config{}, Steering{
				Services: []Service{{ip(own4), UDP, 443, 443}},
				Local:    []netip.Addr{ip(own4)},
			})
			if _, err := p.Attach(v0.Attrs().Index, mode); err != nil {
				t.Fatal(err)
			}
			socket := bindSocket(t, v0, 0)
			if err := p.SetSocket(0, socket.fd); err != nil {
				t.Fatal(err)
			}
			wire := openWire(t, v1.Attrs().Index)
			send := func(from, to uint16) []byte {
				f := frame(udp(client4, own4, from, to))
				if _, err := unix.Write(wire, f); err != nil {
					t.Fatal(err)
				}
				return f
			}
			expect := func(c *net.UDPConn, from uint16) {
				t.Helper()
				must(c.SetReadDeadline(time.Now().Add(10 * time.Second)))
				_, sender, err := c.ReadFromUDPAddrPort(make([]byte, 2048))
				if err != nil {
					t.Fatal(err)
				}
				if sender.Port() != from {
					t.Errorf("the kernel's socket received what was sent from port %d, not from %d", sender.Port(), from)
				}
			}

			before := counters(t, p)
			sent := send(1, 443)
			if got := socket.receive(t); !bytes.Equal(got, sent) {
				t.Errorf("received:\n%s\nsent:\n%s", hex.Dump(got), hex.Dump(sent))
			}
			send(2, 5000)
			expect(foreign, 2)
			if after := counters(t, p); after[SteeredService] != before[SteeredService]+1 || after[Passed] < before[Passed]+1 {
				t.Errorf("counters: %v, then %v", before, after)
			}

			if err := p.ClearSocket(0); err != nil {
				t.Fatal(err)
			}
			send(3, 443)
			send(4, 5000)
			expect(foreign, 4) // so the one before it has been dealt with too
			if n := counters(t, p)[DroppedNoSocket]; n != 1 {
				t.Errorf("%d packets dropped, want 1", n)
			}
			if err := p.Detach(); err != nil {
				t.Fatal(err)
			}
			send(5, 443)
			expect(service, 5) // and not 1 or 3
		})
	}
}

// openWire returns a socket that sends raw frames from the interface.
func openWire(t *testing.T, ifindex int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
	return fd
}

package wire

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

func newWire(t *testing.T) *Wire {
	t.Helper()
	testutil.RequireRoot(t)
	last := runtime.NumCPU() - 1
	w, err := New(Options{Receive: []int{0}, Load: []int{last}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// tap is a packet socket: the kernel's view of what comes in.
func tap(t *testing.T, h *lab.Host) (read func() []byte) {
	t.Helper()
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00
	var fd int
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	return func() []byte {
		for {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				t.Fatalf("no more frames came: %v", err)
			}
			if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype != unix.PACKET_OUTGOING {
				return bytes.Clone(b[:n])
			}
		}
	}
}

// wants returns the frame of each flow.
func wants(w *Wire, f traffic.Family, flows int) map[string]int {
	all := map[string]int{}
	template := traffic.NewRequest(f, packet.TCPAck, traffic.Smallest)
	for n := range flows {
		b := make([]byte, 128)
		b = b[:template.Write(b, uint32(n))]
		copy(b, w.near.mac)
		copy(b[6:], w.client())
		all[string(b)] = n
	}
	return all
}

// Each frame is the one that package traffic makes for the flow, to the last bit, and
// as good for gopacket; each flow has its turn; and nothing is lost or counted twice.
func TestFrames(t *testing.T) {
	for _, f := range families {
		for name, load := range map[string]Load{
			"in turn": {Family: f, Flows: 70_000, InTurn: true, Rate: 100_000},
			"any":     {Family: f, Flows: 500, Rate: 50_000},
		} {
			t.Run(string(f)+" "+name, func(t *testing.T) {
				w := newWire(t)
				want, seen := wants(w, f, load.Flows), map[int]int{}
				read := tap(t, w.Balancer)
				if err := w.Start(load); err != nil {
					t.Fatal(err)
				}
				turns, last := 0, 0
				for frames := 0; len(seen) < load.Flows; {
					b := read()
					if !bytes.Equal(b[:6], w.near.mac) {
						continue // neighbour discovery
					}
					n, ok := want[string(b)]
					if !ok {
						t.Fatalf("frame %d is of no flow: %+v", frames, packettest.Verify(t, b))
					}
					if frames++; frames%100 == 0 {
						packettest.Verify(t, b)
					}
					if seen[n]++; frames > 1000*load.Flows { // a busy machine loses many
						t.Fatalf("%d frames of %d flows of %d", frames, len(seen), load.Flows)
					}
					if n <= last {
						turns++
					}
					last = n
				}
				if err := w.Stop(); err != nil {
					t.Fatal(err)
				}
				c, err := w.Counts()
				if err != nil {
					t.Fatal(err)
				}
				// Also if some were lost on the way.
				if most := int(c.Sent)/load.Flows + 1; load.InTurn && turns > most {
					t.Errorf("%d times a flow came before an earlier one, in %d frames of %d flows", turns, c.Sent, load.Flows)
				}
			})
		}
	}
}

// With two queues each generator has half of the flows, and they arrive at its queue.
func TestQueues(t *testing.T) {
	testutil.RequireRoot(t)
	if runtime.NumCPU() < 2 {
		t.Skip("SKIPPED: needs two CPUs")
	}
	w, err := New(Options{Queues: 2, Receive: []int{1, 0}, Load: []int{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	const flows = 1001
	want, seen := wants(w, traffic.IPv4, flows), map[int]bool{}
	read := tap(t, w.Balancer)
	if err := w.Start(Load{Family: traffic.IPv4, Flows: flows, InTurn: true, Rate: 20_000}); err != nil {
		t.Fatal(err)
	}
	for frames := 0; len(seen) < flows; frames++ {
		if n, ok := want[string(read())]; ok {
			seen[n] = true
		} else if frames > 40*flows {
			t.Fatalf("%d flows of %d", len(seen), flows)
		}
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	var states []wireGenerator
	if err := w.objects.Generators.Lookup(uint32(0), &states); err != nil {
		t.Fatal(err)
	}
	for cpu := range 2 {
		used, err := peer.CPUOf(w.near.threads[cpu])
		if states[cpu].Sent < flows/2 || err != nil || used <= 0 {
			t.Errorf("CPU %d has sent %d frames; receiving at its queue took %v, %v", cpu, states[cpu].Sent, used, err)
		}
	}
}

// The backends' answers come back through the balancer, to the client, and count once
// they have.
func TestAnswers(t *testing.T) {
	nft := peertest.Find(t, peer.NFT)
	for _, f := range families {
		t.Run(string(f), func(t *testing.T) {
			w := newWire(t)
			startDNAT(t, w, nft, f)
			if err := w.Sample(10); err != nil {
				t.Fatal(err)
			}
			read := tap(t, w.Generator)
			if err := w.Start(Load{Family: f, Flows: 1000, InTurn: true, Window: 64, Answer: true}); err != nil {
				t.Fatal(err)
			}
			for range 500 {
				g := packettest.Verify(t, read())
				if g.Src != netip.AddrPortFrom(f.Service(), traffic.Port) || !f.Client(0).Addr().IsValid() || g.Dst.Port() != f.Client(0).Port() {
					t.Fatalf("the client gets %+v", g)
				}
			}
			if err := w.Stop(); err != nil {
				t.Fatal(err)
			}
			c := settled(t, w, func(c Counts) bool { return few(c.Sent, c.Rewritten) && few(c.Rewritten, c.Returned) })
			if !few(c.Sent, c.Rewritten) || !few(c.Rewritten, c.Returned) || c.Sent < 5000 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// startDNAT has the kernel be the balancer.
func startDNAT(t *testing.T, w *Wire, nft string, f traffic.Family) {
	t.Helper()
	service := peer.Service{Protocol: "tcp", Address: netip.AddrPortFrom(f.Service(), traffic.Port)}
	for i := range Backends {
		service.Backends = append(service.Backends, netip.AddrPortFrom(f.Backend(i), traffic.BackendPort))
	}
	r, err := peer.DNAT{Program: nft, Services: []peer.Service{service}}.Start(t.Context(), w.Balancer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	routeToClients(t, w, f)
}

// routeToClients sends what is for the clients to the generator.
func routeToClients(t *testing.T, w *Wire, f traffic.Family) {
	t.Helper()
	via := f.Backend(0)
	bits := 15
	if f == traffic.IPv6 {
		bits = 48
	}
	to := netip.PrefixFrom(f.Client(0).Addr(), bits).Masked()
	route := &netlink.Route{LinkIndex: w.near.index, Gw: via.AsSlice(), Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(bits, via.BitLen())}}
	if err := w.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
}

// few reports whether few of the frames that went did not come. On a machine whose CPUs
// stand still for a while, some can be lost though their number is bounded: those under
// way are given up after 20 ms, and may come all the same.
func few(went, came uint64) bool { return came <= went && went-came <= went/50 }

// settled returns the counts when they are as they should be, or after some seconds.
func settled(t *testing.T, w *Wire, ok func(Counts) bool) Counts {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := w.Counts()
		if err != nil {
			t.Fatal(err)
		}
		if ok(c) || time.Now().After(end) {
			return c
		}
	}
}

// The kernel, as the balancer, sends each frame to a backend: with a window hardly any is
// lost, all are counted, and what the sink takes for rewritten is.
func TestSink(t *testing.T) {
	nft := peertest.Find(t, peer.NFT)
	for _, f := range families {
		t.Run(string(f), func(t *testing.T) {
			w := newWire(t)
			startDNAT(t, w, nft, f)
			if err := w.Sample(10); err != nil {
				t.Fatal(err)
			}
			read := tap(t, w.Generator)
			// In turn: the kernel drops the second of two packets of one new connection
			// that come together (insert_failed in /proc/net/stat/nf_conntrack).
			if err := w.Start(Load{Family: f, Flows: 1000, InTurn: true, Window: 64}); err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				b := read()
				g := packettest.Verify(t, b)
				if !bytes.Equal(b[:6], w.far.mac) || g.Dst.Port() != traffic.BackendPort || g.TTL != 63 {
					t.Fatalf("came back: %+v", g)
				}
			}
			if err := w.Stop(); err != nil {
				t.Fatal(err)
			}
			c := settled(t, w, func(c Counts) bool { return few(c.Sent, c.Rewritten) })
			// Neighbour discovery is received too.
			if c.Sent < 10_000 || !few(c.Sent, c.Rewritten) || c.Returned != c.Rewritten || c.Received < c.Rewritten || c.Received > c.Sent+100 || c.Strange != 0 {
				t.Errorf("%+v", c)
			}
			if cpu, err := w.Receiving(); err != nil || cpu <= 0 {
				t.Errorf("receiving took %v, %v", cpu, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	if w, err := New(Options{Queues: 2, Receive: []int{0}, Load: []int{0, 1}}); err == nil || w != nil {
		t.Errorf("two queues and one CPU: %v, %v", w, err)
	}
	w := newWire(t)
	if err := w.Start(Load{Family: traffic.IPv4, Flows: 1, Rate: 100}); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(Load{Family: traffic.IPv4, Flows: 1}); err == nil {
		t.Error("a second generator at once")
	}
	// Close stops it.
}

// Nothing is left of a wire, not even descriptors.
func TestClose(t *testing.T) {
	testutil.RequireRoot(t)
	before := descriptors(t)
	for range 2 {
		w, err := New(Options{Receive: []int{0}, Load: []int{0}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

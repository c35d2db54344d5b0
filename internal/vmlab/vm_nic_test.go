//go:build vm

package vmlab

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// nic is a network card, and how afxlb should come to serve it.
type nic struct {
	name     string
	device   string // QEMU's
	driver   string // module
	queues   int    // of the TAP
	channels int    // that the guest is set to use; 0: as the driver has it
	// The first kernels whose driver has XDP and zero-copy; empty: none.
	native, zeroCopy string
	// goesDeaf: with a native program it receives nothing any more once it was set down and
	// up. That is the driver's own fault, and not looked for again.
	goesDeaf bool
	// cutsWithoutLRO: QEMU's device gives a packet one buffer only, if LRO was off when it was
	// last activated, and what is longer is an error, with and without afxlb. The driver tells
	// it how many buffers there may be with LRO on only (vmxnet3_setup_driver_shared), and a
	// native program switches LRO off for good (vmxnet3_xdp_set).
	cutsWithoutLRO bool
}

// nics are the cards that QEMU has and Linux has an XDP driver for, one that has none
// (e1000e), and the ways that virtio-net comes in. All are served by a guest of two CPUs.
var nics = []nic{
	{name: "virtio-net", device: "virtio-net-pci,mq=on,vectors=6,iommu_platform=on", driver: "virtio_net", queues: 2, native: "4.10", zeroCopy: "6.13"},
	// Twice the queue pairs that are in use: the driver takes spare ones for what XDP sends.
	{name: "virtio-net-spare", device: "virtio-net-pci,mq=on,vectors=10,iommu_platform=on", driver: "virtio_net", queues: 4, channels: 2, native: "4.10", zeroCopy: "6.13"},
	// Without DMA addresses of its own the device has no zero-copy.
	{name: "virtio-net-plain", device: "virtio-net-pci,mq=on,vectors=6", driver: "virtio_net", queues: 2, native: "4.10"},
	{name: "igb", device: "igb", driver: "igb", queues: 1, native: "5.10", zeroCopy: "6.14"},
	{name: "e1000e", device: "e1000e", driver: "e1000e", queues: 1},
	{name: "vmxnet3", device: "vmxnet3", driver: "vmxnet3", queues: 1, native: "6.6", goesDeaf: true, cutsWithoutLRO: true},
}

// ways are how the program should be attached, and the sockets bound, on a kernel.
func (n nic) ways(k *Kernel) (mode, bind string) {
	has := func(since string) bool { return since != "" && !olderThan(k.Release, since) }
	mode, bind = "generic", "copy"
	if has(n.native) {
		mode = "native"
	}
	if has(n.zeroCopy) {
		bind = "zero-copy"
	}
	return mode, bind
}

// olderThan compares the first two numbers of two versions.
func olderThan(release, version string) bool {
	var a, b [2]int
	for n, text := range map[*[2]int]string{&a: release, &b: version} {
		for i, part := range strings.SplitN(text, ".", 3)[:2] {
			n[i], _ = strconv.Atoi(part) // releases of kernels have two numbers at least
		}
	}
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

// TestNIC serves real traffic by each driver on each kernel: TCP and UDP, IPv4 and IPv6,
// nat and dsr, whatever happens to the NIC meanwhile. One guest a driver; the parts
// follow each other on it.
func TestNIC(t *testing.T) {
	eachKernel(t, func(t *testing.T, k *Kernel) {
		for _, n := range nics {
			t.Run(n.name, func(t *testing.T) {
				w := newWorld(t, k, n)
				b := w.serve(w.config())
				for _, part := range []struct {
					name string
					test func(*testing.T)
				}{
					{"mode", func(t *testing.T) { b.mustBe(t, n, k) }},
					{"traffic", func(t *testing.T) { w.traffic(t, 100) }},
					{"bulk", w.bulk},
					{"ledger", func(t *testing.T) { b.ledger(t) }},
					{"cable", func(t *testing.T) { w.pullCable(t, b) }},
					{"down", func(t *testing.T) { w.setDown(t, b) }},
					{"mtu", func(t *testing.T) { w.changeMTU(t, b) }},
					{"ledger-after", func(t *testing.T) { b.ledger(t) }},
					{"again", func(t *testing.T) { b = w.serveAgain(t, b) }},
					{"queues", func(t *testing.T) { b = w.addQueues(t, b) }},
					{"jumbo", func(t *testing.T) { b = w.jumbo(t, b, n, k) }},
				} {
					if mode, _ := n.ways(k); n.goesDeaf && mode == "native" && (part.name == "down" || part.name == "mtu") {
						t.Logf("%s: left out, as %s would go deaf", part.name, n.driver)
						continue
					}
					if !t.Run(part.name, part.test) {
						return // what follows would only fail too, and slowly
					}
				}
				b.stop(t)
			})
		}
	})
}

// mustBe: the program is attached, and the sockets are bound, the best way there is. The
// queues that virtio-net adds for XDP have no zero-copy.
func (b *balancer) mustBe(t *testing.T, n nic, k *Kernel) {
	mode, bind := n.ways(k)
	s := b.status(t)
	if s.XDPMode != mode {
		t.Errorf("XDP %s, want %s", s.XDPMode, mode)
	}
	for _, one := range s.Workers {
		want := bind
		if n.channels > 0 && one.Queue >= n.channels {
			want = "copy"
		}
		t.Logf("queue %d: XDP %s, %s", one.Queue, s.XDPMode, one.Bind)
		if one.Bind != want {
			t.Errorf("queue %d: %s, want %s", one.Queue, one.Bind, want)
		}
	}
}

// serveAgain: after an orderly end and after a crash the next one finds all as it should be.
func (w *world) serveAgain(t *testing.T, b *balancer) *balancer {
	b.stop(t)
	b = w.serve(w.config())
	w.traffic(t, 20)
	b.kill(t)
	b = w.serve(w.config())
	w.traffic(t, 20)
	b.ledger(t)
	return b
}

// pullCable: after the link is back, everything is.
func (w *world) pullCable(t *testing.T, b *balancer) {
	if err := w.guest.SetCable(0, false); err != nil {
		t.Fatal(err)
	}
	b.awaitCarrier(t, false)
	if err := w.guest.SetCable(0, true); err != nil {
		t.Fatal(err)
	}
	b.awaitCarrier(t, true)
	b.awaitServing(t)
	w.traffic(t, 20)
}

// setDown: an interface that was set down has its rings and sockets made anew by the
// driver.
func (w *world) setDown(t *testing.T, b *balancer) {
	for range 3 {
		in(t, w.guest, "guest", "down", nicName)
		in(t, w.guest, "guest", "up", nicName)
	}
	b.awaitServing(t)
	w.traffic(t, 20)
}

// changeMTU: a driver may make its rings anew for it. What it refuses leaves all as it was.
func (w *world) changeMTU(t *testing.T, b *balancer) {
	for _, mtu := range []int{1400, 1500} {
		in(t, w.guest, "guest", "mtu", nicName, fmt.Sprint(mtu))
		b.awaitServing(t)
		w.traffic(t, 20)
	}
}

// jumbo starts an afxlb where the MTU is 9000, and packets have several frames.
func (w *world) jumbo(t *testing.T, b *balancer, n nic, k *Kernel) *balancer {
	if olderThan(k.Release, "6.6") {
		t.Logf("left out: Linux %s has no packets in several frames", k.Release)
		return b
	}
	b.stop(t)
	if n.cutsWithoutLRO { // another MTU activates the device again
		in(t, w.guest, "guest", "feature", nicName, "rx-lro", "on")
	}
	if out, err := w.guest.Run(t.Context(), "guest", "mtu", nicName, "9000"); err != nil {
		t.Logf("the driver has no such MTU: %v %s", err, out)
		return w.serve(w.config())
	}
	for _, h := range append(append([]*lab.Host{}, w.lab.Clients...), w.lab.Backends...) {
		if err := w.lab.SetMTUs(h, 9000); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.lab.Switch.SetMTU(tapName, 9000); err != nil {
		t.Fatal(err)
	}
	b = w.serve(w.config())
	s := b.status(t)
	t.Logf("XDP %s, %s, frames of %d", s.XDPMode, s.Workers[0].Bind, s.Workers[0].Frames.Size)
	w.traffic(t, 20)
	w.bulk(t)
	b.ledger(t)
	return b
}

// addQueues starts an afxlb on one queue and gives the NIC a second one, which must be
// served. A driver that refuses that while a program is attached leaves all as it was.
func (w *world) addQueues(t *testing.T, b *balancer) *balancer {
	b.stop(t)
	if _, err := w.guest.Run(t.Context(), "guest", "channels", nicName, "1"); err != nil {
		t.Logf("the driver's queues can't be set: %v", err)
		return w.serve(w.config())
	}
	b = w.serve(w.config())
	w.traffic(t, 20)
	before := len(b.status(t).Workers)
	if _, err := w.guest.Run(t.Context(), "guest", "channels", nicName, "2"); err != nil {
		t.Logf("the driver refuses while %d queues are served: %v", before, err)
	} else {
		b.await(t, "serve the new queue", func() error {
			var s api.Status
			if err := b.ask(t, &s, "status"); err != nil {
				return err
			}
			if s.State != "serving" || len(s.Workers) != 2 {
				return fmt.Errorf("state %s, %d workers, warnings %v", s.State, len(s.Workers), s.Warnings)
			}
			return nil
		})
	}
	w.traffic(t, 50)
	b.ledger(t)
	return b
}

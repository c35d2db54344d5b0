package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/afxlb/afxlb/bench/traffic"
)

// attach loads the programs and attaches the sink.
func (w *Wire) attach() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit on locked memory: %w", err)
	}
	if err := loadWireObjects(&w.objects, nil); err != nil {
		return fmt.Errorf("load the generator and the sink: %w", err)
	}
	if err := w.expect(false); err != nil {
		return err
	}
	return w.Generator.Do(func() (err error) {
		w.sink, err = link.AttachXDP(link.XDPOptions{Program: w.objects.Sink, Interface: w.far.index, Flags: link.XDPDriverMode})
		if err != nil {
			return fmt.Errorf("attach the sink: %w", err)
		}
		return nil
	})
}

// Sample has the sink pass every so manieth frame on to the generator's kernel, where a
// packet socket can look at it; 0: none.
func (w *Wire) Sample(every uint32) error {
	w.sample = every
	return w.expect(false)
}

// expect tells the sink what the next load is.
func (w *Wire) expect(answer bool) error {
	net4, net6 := traffic.IPv4.Backend(0).As4(), traffic.IPv6.Backend(0).As16()
	net4[3] = 0
	want := wireExpected{
		Port: bits.ReverseBytes16(traffic.BackendPort), Pass: w.sample,
		Net4: binary.NativeEndian.Uint32(net4[:]),
		Net6: [2]uint32{binary.NativeEndian.Uint32(net6[:]), binary.NativeEndian.Uint32(net6[4:])},
	}
	copy(want.Mac[:], w.far.mac)
	copy(want.Client[:], w.client())
	if answer {
		want.Answer = 1
	}
	if err := w.objects.Expectations.Update(uint32(0), &want, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("tell the sink what to expect: %w", err)
	}
	return nil
}

// Counts is what has passed since the wire was made.
type Counts struct {
	Sent      uint64 // by the generator
	Received  uint64 // by the balancer's interface; others found its queue full
	Returned  uint64 // to the sink, for its MAC address, less those it has answered
	Bytes     uint64 // of what came to the sink, as above
	Rewritten uint64 // to the sink, for its MAC address and a backend
	Strange   uint64 // to the sink, for another MAC address
}

// Counts reads the counters.
func (w *Wire) Counts() (c Counts, err error) {
	var sent []wireGenerator
	if err := w.objects.Generators.Lookup(uint32(0), &sent); err != nil {
		return c, fmt.Errorf("read the generator's counters: %w", err)
	}
	for _, s := range sent {
		c.Sent += s.Sent
	}
	var seen []wireSeen
	if err := w.objects.Sights.Lookup(uint32(0), &seen); err != nil {
		return c, fmt.Errorf("read the sink's counters: %w", err)
	}
	for _, s := range seen {
		c.Returned += s.Returned
		c.Rewritten += s.Rewritten
		c.Bytes += s.Bytes
		c.Strange += s.Packets - s.Returned
	}
	l, err := w.Balancer.Netlink().LinkByIndex(w.near.index)
	if err != nil {
		return c, fmt.Errorf("read the counters of the balancer's interface: %w", err)
	}
	c.Received = l.Attrs().Statistics.RxPackets
	return c, nil
}

// Since returns what has passed between two counts.
func (c Counts) Since(o Counts) Counts {
	return Counts{c.Sent - o.Sent, c.Received - o.Received, c.Returned - o.Returned, c.Bytes - o.Bytes, c.Rewritten - o.Rewritten, c.Strange - o.Strange}
}

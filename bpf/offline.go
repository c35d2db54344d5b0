package bpf

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/afxlb/afxlb/bpf/vm"
)

// Offline is the steering program without a kernel: the same instructions, of the same
// object, over maps that the same plans fill. It needs no privilege. The machine has no
// sockets of its own, and each queue has one of the balancer's. It is one goroutine's.
type Offline struct {
	machine  *vm.Machine
	steering steering
	counters []byte
}

// NewOffline returns a program that steers nothing until the first [Offline.Apply].
func NewOffline() (*Offline, error) {
	c := Config{Queues: 1, Limits: DefaultLimits()}
	spec, err := c.spec()
	if err != nil {
		return nil, err
	}
	machine, err := vm.New(spec, steerProgSteer)
	if err != nil {
		return nil, fmt.Errorf("run the steering program without a kernel: %w", err)
	}
	o := &Offline{machine: machine, counters: machine.Map(steerMapCounters).Bytes()}
	variables := machine.Map(".bss")
	o.steering = steering{
		addresses: machine.Map(steerMapAddresses), services: machine.Map(steerMapServices),
		replies: machine.Map(steerMapReplies), macs: machine.Map(steerMapMacs), have: newState(),
		setOwnMAC: func(m macWord) error {
			v := spec.Variables[steerVarOwnMac]
			binary.LittleEndian.PutUint64(variables.Bytes()[v.Offset:], uint64(m))
			return nil
		},
	}
	if err := machine.Map(steerMapSockets).Update(uint32(0), uint32(0), ebpf.UpdateAny); err != nil {
		return nil, fmt.Errorf("set the socket of queue 0: %w", err)
	}
	return o, nil
}

// Apply makes the plan what the program steers by, as [Program.Apply] does.
func (o *Offline) Apply(plan *Plan) error {
	if err := o.steering.apply(plan.want); err != nil {
		return fmt.Errorf("apply the steering: %w", err)
	}
	return nil
}

// ApplyAt is Apply for frames that come by the interface with the number, which may be to other
// MAC addresses than those that come by the first.
func (o *Offline) ApplyAt(plan *Plan, port int) error {
	want := plan.want
	want.station = plan.want.at(port)
	if err := o.steering.apply(want); err != nil {
		return fmt.Errorf("apply the steering: %w", err)
	}
	return nil
}

// Entry is a look-up of the program's: the map, the key as people write it, and whether it was
// there. Without a key it is the machine's own sockets that were asked for, of which there are
// none here.
type Entry struct {
	Map, Key string
	Found    bool
}

// Explain is Judge, and says which look-ups it went by, in order.
func (o *Offline) Explain(frame []byte) (why Reason, entries []Entry, err error) {
	o.machine.Watch(func(table string, key []byte, found bool) {
		if e := (Entry{Map: table, Key: keyText(table, key), Found: found}); table != steerMapCounters && !slices.Contains(entries, e) {
			entries = append(entries, e)
		}
	})
	defer o.machine.Watch(nil)
	why, err = o.Judge(frame)
	return why, entries, err
}

// keyText is a map's key as people write it.
func keyText(table string, key []byte) string {
	switch {
	case table == steerMapAddresses && len(key) == 16:
		return steerIp{Byte: [16]byte(key)}.String()
	case (table == steerMapServices || table == steerMapReplies) && len(key) == 20:
		b := steerBlock{Address: steerIp{Byte: [16]byte(key)}, First: binary.LittleEndian.Uint16(key[16:]), Protocol: key[18], Order: key[19]}
		if b.Order == tunnelEnd {
			return fmt.Sprintf("the end of a tunnel, %s protocol %d port %d", b.Address, b.Protocol, b.First)
		}
		return b.String()
	case table == steerMapMacs && len(key) == 8:
		return macWord(binary.LittleEndian.Uint64(key)).String()
	}
	return fmt.Sprintf("%x", key)
}

// Judge runs the program on a frame of queue 0, which it only reads, and returns what
// became of it. An error is a fault of the program or of package vm.
func (o *Offline) Judge(frame []byte) (Reason, error) {
	if _, err := o.machine.Run(frame, 0); err != nil {
		return Passed, fmt.Errorf("steer a frame of %d bytes: %w", len(frame), err)
	}
	for r := range NumReasons {
		if n := o.counters[8*r]; n != 0 {
			o.counters[8*r] = 0
			return r, nil
		}
	}
	return Passed, fmt.Errorf("steer a frame of %d bytes: it was not counted", len(frame))
}

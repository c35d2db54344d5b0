package bpf

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Config sizes a program's maps. The zero value is good for most machines.
type Config struct {
	Queues int    // RX queues that can have a socket: 0 to Queues-1; 0 means 1024
	Limits Limits // of the plans; the zero value means DefaultLimits
}

// objects are the program's, and the map that the kernel has its variables in.
type objects struct {
	steerObjects
	Variables *ebpf.Map `ebpf:".bss"`
}

func (o *objects) Close() error { return errors.Join(o.steerObjects.Close(), o.Variables.Close()) }

// Program is the steering program and its maps in the kernel. Counters may be
// called from any goroutine, all else from one at a time; nothing after Close.
type Program struct {
	objects  objects
	config   Config
	steering steering
	queues   int
	link     link.Link // nil: not attached
	closed   bool
}

// Load loads the program and its maps, all empty: until [Program.Apply] it passes
// every packet. It raises the process's limit on locked memory where the kernel
// still charges maps to that (before 5.11). The caller owns the program and must
// close it.
//
// The error is [ErrNotSupported] on a kernel that is too old or lacks AF_XDP and
// [io/fs.ErrPermission] without the privileges.
func Load(c Config) (*Program, error) {
	if c.Queues == 0 {
		c.Queues = 1024
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.Queues < 0 || c.Limits.Addresses <= 0 || c.Limits.Ports <= 0 {
		return nil, fmt.Errorf("load the steering program: no size for a map in %+v", c)
	}

	if err := rlimit.RemoveMemlock(); err != nil {
		if errors.Is(err, unix.EPERM) { // its probe for Linux 5.11 may have been refused too
			err = explainPermission(err)
		}
		return nil, fmt.Errorf("raise the limit on locked memory (needs CAP_SYS_RESOURCE before Linux 5.11): %w", err)
	}
	spec, err := c.spec()
	if err != nil {
		return nil, err
	}
	p := &Program{queues: c.Queues, config: c}
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		return nil, fmt.Errorf("load the steering program: %w", explainLoad(err))
	}
	p.steering = steering{
		addresses: p.objects.Addresses,
		services:  p.objects.Services,
		replies:   p.objects.Replies,
		macs:      p.objects.Macs,
		setOwnMAC: func(m macWord) error { return p.objects.OwnMac.Set(uint64(m)) },
		have:      newState(),
	}
	return p, nil
}

// spec returns the program's object with maps of the config's sizes.
func (c *Config) spec() (*ebpf.CollectionSpec, error) {
	spec, err := loadSteer()
	if err != nil {
		return nil, fmt.Errorf("read the steering program's object: %w", err)
	}
	spec.Maps[steerMapSockets].MaxEntries = uint32(c.Queues)
	spec.Maps[steerMapAddresses].MaxEntries = room(c.Limits.Addresses)
	spec.Maps[steerMapServices].MaxEntries = room(c.Limits.Ports)
	spec.Maps[steerMapReplies].MaxEntries = room(c.Limits.Ports)
	spec.Maps[steerMapMacs].MaxEntries = room(maxMACs)
	return spec, nil
}

// reload loads the program once more, with the maps that there are.
func (p *Program) reload() (*ebpf.Program, error) {
	spec, err := p.config.spec()
	if err != nil {
		return nil, err
	}
	maps, have := map[string]*ebpf.Map{".bss": p.objects.Variables}, reflect.ValueOf(p.objects.steerMaps)
	for i := range have.NumField() {
		maps[have.Type().Field(i).Tag.Get("ebpf")] = have.Field(i).Interface().(*ebpf.Map)
	}
	for name := range spec.Maps {
		if maps[name] == nil {
			return nil, fmt.Errorf("load the steering program again: its map %s would be another one", name)
		}
	}
	var programs steerPrograms
	if err := spec.LoadAndAssign(&programs, &ebpf.CollectionOptions{MapReplacements: maps}); err != nil {
		return nil, fmt.Errorf("load the steering program again: %w", explainLoad(err))
	}
	return programs.Steer, nil
}

// SetSocket makes the AF_XDP socket fd the one that the queue's packets are
// steered to, in place of any other. The kernel keeps its own reference: the
// caller still owns fd, and when it closes the socket the queue is without one.
func (p *Program) SetSocket(queue, fd int) error {
	if err := p.checkQueue(queue); err != nil {
		return fmt.Errorf("set the socket of %w", err)
	}
	if err := p.objects.Sockets.Update(uint32(queue), uint32(fd), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("set the socket of queue %d to fd %d: %w", queue, fd, err)
	}
	return nil
}

// ClearSocket leaves the queue without a socket: what would be steered there is
// dropped and counted. It is no error if there is none.
func (p *Program) ClearSocket(queue int) error {
	if err := p.checkQueue(queue); err != nil {
		return fmt.Errorf("clear the socket of %w", err)
	}
	if err := p.objects.Sockets.Delete(uint32(queue)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("clear the socket of queue %d: %w", queue, err)
	}
	return nil
}

func (p *Program) checkQueue(queue int) error {
	if queue < 0 || queue >= p.queues {
		return fmt.Errorf("queue %d: %w: queues go from 0 to %d (Config.Queues)", queue, ErrFull, p.queues-1)
	}
	return nil
}

// Close detaches the program and frees it and its maps. Nothing is left in the
// kernel. A second Close does nothing.
func (p *Program) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.Detach(), p.objects.Close())
}

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
	port     int // number of the interface in plans
	steering steering
	queues   int
	link     link.Link // nil: not attached
	frags    bool      // it takes packets in several buffers
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
	p.steering = p.writer()
	p.steering.addresses, p.steering.services, p.steering.replies = p.objects.Addresses, p.objects.Services, p.objects.Replies
	return p, nil
}

// writer returns the writer of what is this program's alone.
func (p *Program) writer() steering {
	return steering{
		macs:      p.objects.Macs,
		setOwnMAC: func(m macWord) error { return p.objects.OwnMac.Set(uint64(m)) },
		have:      newState(),
	}
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

// apart are the maps that the program has on each interface for itself. All others are
// one for all.
var apart = []string{steerMapSockets, steerMapMacs, steerMapCounters, ".bss"}

// Share loads the program once more, for a further interface, which in plans is the one
// with that number, from 1. It steers by what is applied to p, which must be the program of
// the first interface. Sockets, MAC addresses and counters are its own: so nothing has to be
// looked up by interface, and a packet costs no more than with one. The caller owns it and
// must close it.
func (p *Program) Share(port int) (*Program, error) {
	if p.port != 0 || port < 1 {
		return nil, fmt.Errorf("share the steering of interface %d with interface %d: it is the first one's to share", p.port, port)
	}
	spec, err := p.config.spec()
	if err != nil {
		return nil, err
	}
	common := p.maps()
	for _, name := range apart {
		delete(common, name)
	}
	s := &Program{queues: p.queues, config: p.config, port: port}
	if err := spec.LoadAndAssign(&s.objects, &ebpf.CollectionOptions{MapReplacements: common}); err != nil {
		return nil, fmt.Errorf("load the steering program once more: %w", explainLoad(err))
	}
	s.steering = s.writer()
	return s, nil
}

// maps returns the program's maps by their names in its object.
func (p *Program) maps() map[string]*ebpf.Map {
	maps, have := map[string]*ebpf.Map{".bss": p.objects.Variables}, reflect.ValueOf(p.objects.steerMaps)
	for i := range have.NumField() {
		maps[have.Type().Field(i).Tag.Get("ebpf")] = have.Field(i).Interface().(*ebpf.Map)
	}
	return maps
}

// reload loads the program once more, with the maps that there are.
func (p *Program) reload() (*ebpf.Program, error) {
	spec, err := p.config.spec()
	if err != nil {
		return nil, err
	}
	maps := p.maps()
	for name := range spec.Maps {
		if maps[name] == nil {
			return nil, fmt.Errorf("load the steering program again: its map %s would be another one", name)
		}
	}
	if p.frags {
		spec.Programs[steerProgSteer].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	var programs steerPrograms
	if err := spec.LoadAndAssign(&programs, &ebpf.CollectionOptions{MapReplacements: maps}); err != nil {
		return nil, fmt.Errorf("load the steering program again: %w", explainLoad(err))
	}
	return programs.Steer, nil
}

// TakeFrags makes the program one that takes packets in several buffers (Linux 5.18), for
// good: attached or not, and so where the interface's MTU fits into no buffer of a driver's.
// Without, such drivers refuse the program. It reads the headers of the first buffer, as drivers
// fill that before they take another one.
func (p *Program) TakeFrags() error {
	if p.frags {
		return nil
	}
	p.frags = true
	err := p.renew()
	if err != nil {
		p.frags = false
		return fmt.Errorf("have the steering program take packets in several buffers: %w", err)
	}
	return nil
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

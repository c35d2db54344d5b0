package xsk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// opener makes a socket with rings and memory as c says, and binds it with flags.
type opener func(c Config, ifindex int, flags uint16) (bound, error)

// bound is what an opener hands over.
type bound struct {
	config Config // as it was called for, with a frame size
	fd     int
	umem   *UMEM
	rings  Rings
	close  func() error // takes all back but the UMEM
}

var openers = map[Driver]opener{
	DriverNative: openNative,
	DriverAsavie: openAsavie,
}

// attempts are the bind flags to try for each mode, best first. The kernel would fall
// back from zero-copy by itself, but not tell why.
var attempts = map[Mode][]uint16{
	ModeAuto:     {unix.XDP_ZEROCOPY, unix.XDP_COPY},
	ModeZeroCopy: {unix.XDP_ZEROCOPY},
	ModeCopy:     {unix.XDP_COPY},
	ModeGeneric:  {unix.XDP_COPY},
}

// bindPauses are the pauses between attempts to bind a busy queue. The kernel frees a
// closed socket's queue only later (xp_release_deferred in net/xdp/xsk_buff_pool.c),
// as a rule in milliseconds, and no event tells when. About 2 s together.
var bindPauses = []time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond,
	600 * time.Millisecond, 600 * time.Millisecond,
}

// Open makes a socket on a queue, with a UMEM of its own and the FILL ring filled: it
// receives as soon as an XDP program redirects to it. Call it from the thread that will use
// the socket, for the memory to be near. A queue that is just being given up by another
// socket is waited for, up to two seconds.
//
// One that shares another's UMEM any goroutine may open while the owner is at work: it
// receives from its first Recycle on, which is the owner's.
func Open(c Config) (*Socket, error) {
	device, err := interfaceByName(c.Interface)
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("queue %d of %s", c.Queue, c.Interface)
	if err := c.share(device.Index, device.MTU); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, why, err := bindPatiently(c, device.Index, device.MTU)
	c = b.config
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, explain(err, c, device.MTU))
	}
	info := Info{
		Interface: c.Interface, Index: device.Index, Queue: c.Queue, Driver: c.Driver,
		Frames: c.Frames, FrameSize: c.FrameSize, RingSize: c.RingSize, WhyCopy: why,
	}
	if c.Share != nil {
		info.Shared, info.WhyCopy = true, c.Share.whyCopyToo()
	}
	if err := info.tune(b.fd); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), b.close(), b.umem.discard())
	}
	info.MultiBuffer, info.MaxPacket = b.umem.longs != nil, b.umem.maxMTU(info.Mode)+linkHeader
	s, err := newSocket(name, info, b.fd, b.umem, b.rings, b.close)
	if err != nil {
		return nil, err
	}
	if c.receiveOnly() {
		if err := s.openDetour(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.Close())
		}
	}
	if c.Share == nil {
		s.Recycle()
	}
	return s, nil
}

// bindPatiently goes through the flags to try, and all over again while the queue is
// busy. why says what zero-copy failed with if something else was taken. On an error b
// has the last attempt's configuration.
func bindPatiently(c Config, ifindex, mtu int) (b bound, why string, err error) {
	for _, pause := range append(bindPauses[:len(bindPauses):len(bindPauses)], 0) {
		b, why, err = bindOnce(c, ifindex, mtu)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(pause)
	}
	return b, why, err
}

// receiveOnly reports whether the interface has no TX queue of the socket's number.
//
// Zero-copy is not even tried there. virtio-net adds RX queues while an XDP program is
// attached, if it has some to spare. It binds sockets to them in zero-copy, never looks at
// their TX rings (virtnet_poll_tx of drivers/net/virtio_net.c), and does not let go of their
// memory once the program is gone (virtnet_xsk_pool_disable refuses a queue that is not in
// use any more): the next program's queues are filled from memory that has been freed, and
// the kernel crashes (seen with Linux 7.3).
func (c *Config) receiveOnly() bool { return c.TxQueues > 0 && c.Queue >= c.TxQueues }

func bindOnce(c Config, ifindex, mtu int) (b bound, why string, err error) {
	for _, flags := range attempts[c.Mode] {
		if c.Mode == ModeAuto && c.NoZeroCopy && flags&unix.XDP_ZEROCOPY != 0 {
			why = "the driver has no zero-copy"
			continue
		}
		if flags&unix.XDP_ZEROCOPY != 0 && c.receiveOnly() {
			err = fmt.Errorf("%w: zero-copy on a queue that has no TX queue (mode auto would take copy)", ErrNotSupported)
			b = bound{config: c}
		} else {
			b, err = bindWith(flags, c, ifindex, mtu)
		}
		if err == nil || errors.Is(err, unix.EBUSY) {
			break
		}
		why = err.Error()
	}
	return b, why, err
}

// bindWith makes one attempt, with frames of the size that it needs if none was asked
// for.
func bindWith(flags uint16, c Config, ifindex, mtu int) (b bound, err error) {
	mode := ModeCopy
	if flags&unix.XDP_ZEROCOPY != 0 {
		mode = ModeZeroCopy
	}
	mtu = max(mtu, c.MTU)
	if c.FrameSize, err = frameSizeFor(mtu, mode, c.FrameSize, c.MultiBuffer); err != nil {
		return bound{config: c}, err
	}
	if c.MultiBuffer && mtu > maxMTU(c.FrameSize, mode) {
		flags |= unix.XDP_USE_SG
	}
	b, err = openers[c.Driver](c, ifindex, flags|unix.XDP_USE_NEED_WAKEUP)
	b.config = c
	return b, err
}

// Close gives the queue back, and the memory up unless another socket shares it; held
// frames and slices from [UMEM.Frame] must not be used any more then. The owner calls it,
// or whoever has stopped the owner. What is on the rings is lost. After it nothing is
// received, and Flush and Wait return ErrClosed.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.last, _ = s.kernelStatistics()
	s.closed, s.shut = true, true
	gone := s.lost()
	s.fd, s.pollFD[0].Fd = -1, -1
	s.gone, s.errs.gone = true, fmt.Errorf("%s: %w", s.name, ErrClosed)
	if s.partial.some && !s.partial.lost {
		s.umem.longs.give(s.partial.d.Addr)
	}
	// A late call of the owner must meet empty rings.
	s.use(noRings())
	s.detour.close()
	s.detour = nil
	if err := errors.Join(s.release(), s.umem.leave(s.member, gone, s.settled)); err != nil {
		return fmt.Errorf("close %s: %w", s.name, err)
	}
	return nil
}

// cleanup is a list of things to undo, in reverse.
type cleanup []func() error

func (c *cleanup) add(f func() error) { *c = append(*c, f) }

func (c *cleanup) run() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}

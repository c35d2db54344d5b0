package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openNative makes a socket by system calls, in the order of the kernel's own
// documentation (Documentation/networking/af_xdp.rst).
func openNative(c Config, ifindex int, flags uint16) (b bound, err error) {
	var undo cleanup
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()

	b.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return b, fmt.Errorf("create AF_XDP socket: %w", err)
	}
	undo.add(func() error { return unix.Close(b.fd) })
	address := &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(c.Queue)}
	if c.Share != nil {
		// The flags are those that the UMEM's first socket was bound with, and must not
		// be named (xp_assign_dev_shared of net/xdp/xsk_buff_pool.c).
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(c.Share.fd)
		b.umem = c.Share.umem
	} else {
		if b.umem, err = mapUMEM(c, flags); err != nil {
			return b, err
		}
		undo.add(b.umem.release)
		frames := b.umem.memory[:uint64(c.Frames)*uint64(c.FrameSize)]
		if err := registerUMEM(b.fd, frames, c.FrameSize, b.umem.spread); err != nil {
			return b, fmt.Errorf("register UMEM of %d bytes: %w", len(frames), err)
		}
	}
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(b.fd, unix.SOL_XDP, option, int(c.RingSize)); err != nil {
			return b, fmt.Errorf("size ring (option %d) to %d: %w", option, c.RingSize, err)
		}
	}
	rings, maps, err := mapRings(b.fd, c.RingSize)
	if err != nil {
		return b, err
	}
	undo.add(maps.unmap)
	b.rings = rings

	if err := unix.Bind(b.fd, address); err != nil {
		return b, fmt.Errorf("bind: %w", err)
	}
	b.close = func() error { return errors.Join(maps.unmap(), unix.Close(b.fd)) }
	return b, nil
}

// mapUMEM makes frames, places of long packets and ledger in one memfd, whose pages outlive this process in the
// hands of one that it passes the descriptor to. MAP_POPULATE: the pages come from the
// NUMA node of the calling thread, which should be the one that will use them.
func mapUMEM(c Config, flags uint16) (u *UMEM, err error) {
	var undo cleanup
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	fd, err := unix.MemfdCreate("afxlb-umem", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create memfd: %w", err)
	}
	undo.add(func() error { return unix.Close(fd) })
	size := int(c.Frames)*int(c.FrameSize) + longMemory(flags&unix.XDP_USE_SG != 0)
	total := size + ledgerSize(c.Frames)
	if err := unix.Ftruncate(fd, int64(total)); err != nil {
		return nil, fmt.Errorf("size memfd to %d bytes: %w", total, err)
	}
	memory, err := unix.Mmap(fd, 0, total, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map UMEM of %d bytes: %w", total, err)
	}
	undo.add(func() error { return unix.Munmap(memory) })
	spread := uint64(0)
	if flags&unix.XDP_COPY != 0 {
		spread = packetSpread
	}
	u = newUMEM(memory[:size:size], memory[size:], c.Frames, c.FrameSize, spread)
	u.fd, u.release = fd, undo.run
	return u, nil
}

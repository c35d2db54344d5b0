package xsk

import (
	"time"

	"golang.org/x/sys/unix"
)

// Kernel answers the system calls of a socket whose rings are in plain memory; see
// [NewFake]. A real socket has none and makes the calls below itself, so that its hot
// path has no interface call.
type Kernel interface {
	// Send is sendto: take what is on the TX ring.
	Send() unix.Errno
	// Wake is recvfrom: look at the FILL ring.
	Wake()
	// Poll waits until there is something on the RX ring, at most timeout.
	Poll(timeout time.Duration) (ready bool)
	// Error returns and clears SO_ERROR.
	Error() unix.Errno
	// Statistics is XDP_STATISTICS.
	Statistics() (KernelStatistics, error)
}

// NewFake returns a socket over memory that someone else plays the kernel of: package
// xsktest. All but the system calls is the code of a real socket. Of info it takes what
// that kernel granted: Index, Mode, TxBudget, Frames, FrameSize and MultiBuffer. The UMEM is that of
// share, if it is not nil.
func NewFake(info Info, rings Rings, kernel Kernel, share *Socket) (*Socket, error) {
	if share != nil {
		info.Shared, info.Frames, info.FrameSize = true, share.info.Frames, share.info.FrameSize
	}
	frames, frameSize := info.Frames, info.FrameSize
	info.RingSize = uint32(len(rings.RX.Entries))
	if err := checkSizes(frames, frameSize, info.RingSize); err != nil {
		return nil, err
	}
	spread := uint64(packetSpread)
	if info.Mode == ModeZeroCopy {
		spread = 0
	}
	var umem *UMEM
	if share != nil {
		umem = share.umem
	} else {
		umem = newUMEM(make([]byte, int(frames)*int(frameSize)+longMemory(info.MultiBuffer)), plainLedger(frames), frames, frameSize, spread)
	}
	info.Interface, info.Driver = "fake", "fake"
	info.MultiBuffer, info.MaxPacket = umem.longs != nil, umem.maxMTU(info.Mode)+linkHeader
	s, err := newSocket("queue 0 of fake", info, -1, umem, rings, func() error { return nil })
	if err != nil {
		return nil, err
	}
	s.kernel = kernel
	if share == nil {
		s.Recycle()
	}
	return s, nil
}

// kick makes the kernel look at the TX ring. MSG_DONTWAIT is a must (__xsk_sendmsg).
// It is no RawSyscall: in copy mode the kernel sends the batch, and often runs the
// receiver too, before it returns, and would hold up a stop of the world.
func (s *Socket) kick() unix.Errno {
	s.counters.kicks.Add(1)
	if s.kernel != nil {
		return s.kernel.Send()
	}
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// wakeFill makes the driver look at the FILL ring (__xsk_recvmsg). Its errors are
// those of kick, which reports them.
func (s *Socket) wakeFill() {
	if s.kernel != nil {
		s.kernel.Wake()
		return
	}
	_, _, _ = unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// poll waits for a packet. POLLIN alone: POLLOUT is set as long as the TX ring is not
// half full, and would end each wait at once.
func (s *Socket) poll(timeout time.Duration) (ready bool, err error) {
	if s.kernel != nil {
		return s.kernel.Poll(timeout), nil
	}
	return pollFor(s.pollFD[:], timeout)
}

// pollFor waits until one of fds is ready, at most timeout.
func pollFor(fds []unix.PollFd, timeout time.Duration) (ready bool, err error) {
	left := unix.NsecToTimespec(int64(timeout))
	for {
		// ppoll(2), notes: Linux writes the time not slept to its argument. A
		// signal, like those of Go's preemption, can't make the wait longer.
		n, err := unix.Ppoll(fds, &left, nil)
		if err != unix.EINTR {
			return n > 0, err
		}
	}
}

// pendingError returns and clears SO_ERROR.
func (s *Socket) pendingError() unix.Errno {
	if s.kernel != nil {
		return s.kernel.Error()
	}
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return 0
	}
	return unix.Errno(n)
}

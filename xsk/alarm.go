package xsk

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Alarm keeps others from sleeping: while it is raised, each [Poller] that has it returns at
// once, also one that was asleep before. Any goroutine may raise it, and several may at a time:
// it is an eventfd(2) that counts who has not lowered it again. A nil one is never raised.
type Alarm struct{ fd int }

// NewAlarm makes an alarm, which is the caller's to close.
func NewAlarm() (*Alarm, error) {
	fd, err := unix.Eventfd(0, unix.EFD_SEMAPHORE|unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	return &Alarm{fd}, nil
}

// Raise raises the alarm. Whoever does so lowers it once nobody has to be awake for it.
func (a *Alarm) Raise() {
	if a != nil {
		_, _ = unix.Write(a.fd, binary.NativeEndian.AppendUint64(nil, 1)) // there is room for 2^64
	}
}

// Lower takes one Raise back.
func (a *Alarm) Lower() {
	if a != nil {
		_, _ = unix.Read(a.fd, make([]byte, 8)) // as a semaphore it counts down by one
	}
}

// Close ends the alarm. No poller that has it may wait any more.
func (a *Alarm) Close() error {
	if a == nil {
		return nil
	}
	return unix.Close(a.fd)
}

// pollFD is what a poller waits on; one that poll(2) leaves out if there is no alarm.
func (a *Alarm) pollFD() unix.PollFd {
	if a == nil {
		return unix.PollFd{Fd: -1}
	}
	return unix.PollFd{Fd: int32(a.fd), Events: unix.POLLIN}
}

package xsk

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"

	asavie "github.com/asavie/xdp"
	"golang.org/x/sys/unix"
)

// asavieMu guards the library's globals, which it takes the bind flags from, and the
// search for what it leaks.
var asavieMu sync.Mutex

// openAsavie has github.com/asavie/xdp make the socket, and takes over from there: its
// rings are mapped a second time for ours, its UMEM is used in place. The library's
// own rings and list of free frames stay as they were made.
func openAsavie(c Config, ifindex int, flags uint16) (b bound, err error) {
	var undo cleanup
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	lib, err := newAsavieSocket(c, ifindex, flags)
	if err != nil {
		return b, err
	}
	undo.add(lib.Close)
	b.fd = lib.FD()
	inode, err := socketInode(b.fd)
	if err != nil {
		return b, err
	}
	undo.add(func() error {
		if err := unmapSocket(inode); err != nil {
			return fmt.Errorf("the queue stays bound until this process ends: %w", err)
		}
		return nil
	})

	rings, maps, err := mapRings(b.fd, c.RingSize)
	if errors.Is(err, unix.EBUSY) {
		return b, fmt.Errorf("%w: driver asavie needs Linux 6.4, where the rings of a bound socket can be mapped again (driver native does not): %v", ErrNotSupported, err)
	}
	if err != nil {
		return b, err
	}
	undo.add(maps.unmap)
	b.rings = rings
	memory := lib.GetFrame(asavie.Desc{Addr: 0, Len: c.Frames * c.FrameSize})
	b.umem = newUMEM(memory, plainLedger(c.Frames), c.Frames, c.FrameSize, 0)
	b.close = undo.run
	return b, nil
}

// newAsavieSocket calls the library. If that fails, its Close has closed the socket's
// descriptor but left the ring maps, so that each attempt on a busy queue would leave
// a socket behind: they are taken away here.
func newAsavieSocket(c Config, ifindex int, flags uint16) (*asavie.Socket, error) {
	asavieMu.Lock()
	defer asavieMu.Unlock()
	before, err := mappedSockets()
	if err != nil {
		return nil, err
	}
	asavie.DefaultSocketFlags = flags
	ring := int(c.RingSize)

	// The library makes its socket without SOCK_CLOEXEC.
	syscall.ForkLock.RLock()
	lib, err := asavie.NewSocket(ifindex, c.Queue, &asavie.SocketOptions{
		NumFrames: int(c.Frames), FrameSize: int(c.FrameSize),
		FillRingNumDescs: ring, CompletionRingNumDescs: ring, RxRingNumDescs: ring, TxRingNumDescs: ring,
	})
	if err == nil {
		unix.CloseOnExec(lib.FD())
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("github.com/asavie/xdp: %w", withErrno(err)), unmapOrphans(before))
	}
	return lib, nil
}

// asavieErrnos are those that the set-up of a socket gives.
var asavieErrnos = []unix.Errno{
	unix.EBUSY, unix.EPERM, unix.EACCES, unix.ENODEV, unix.EINVAL, unix.EOPNOTSUPP, enotsupp,
	unix.ENOBUFS, unix.ENOMEM, unix.EAFNOSUPPORT, unix.ENETDOWN, unix.ENXIO,
}

// withErrno gives an error of the library its errno back, of which it keeps the text
// only.
func withErrno(err error) error {
	for _, errno := range asavieErrnos {
		if strings.HasSuffix(err.Error(), ": "+errno.Error()) {
			return &errnoError{err.Error(), errno}
		}
	}
	return err
}

type errnoError struct {
	text  string
	errno unix.Errno
}

func (e *errnoError) Error() string { return e.text }
func (e *errnoError) Unwrap() error { return e.errno }

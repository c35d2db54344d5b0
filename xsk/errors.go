package xsk

import "errors"

// What callers decide on. Errors of this package wrap one of these where the cause
// is known, name the interface and the queue, and keep the errno.
var (
	// ErrLinkDown: the interface cannot send now. What is on the TX ring stays there,
	// and sending resumes by itself when the link returns: back off and flush again.
	ErrLinkDown = errors.New("link is down")

	// ErrGone: the interface was removed, and the socket is dead for good. Close it,
	// and Open again when the interface is back.
	ErrGone = errors.New("interface is gone")

	// ErrBusy: another AF_XDP socket is bound to the queue.
	ErrBusy = errors.New("queue is in use by another AF_XDP socket")

	// ErrNotSupported: the kernel or the driver of the interface lacks what was asked
	// for. The error says what, and since which kernel it exists.
	ErrNotSupported = errors.New("not supported")

	// ErrNoInterface: there is no such interface in this network namespace.
	ErrNoInterface = errors.New("no such interface")

	// ErrNoQueue: the interface has no such queue.
	ErrNoQueue = errors.New("no such queue")

	// ErrClosed: the socket was closed.
	ErrClosed = errors.New("socket is closed")
)

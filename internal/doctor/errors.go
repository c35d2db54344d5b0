package doctor

import (
	"errors"
	"slices"
	"syscall"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// MachineError says that the machine can't do what is asked, and names what is missing:
// a privilege, an interface or queue, a feature of the kernel, a limit that is too low.
type MachineError struct{ Err error }

func (e MachineError) Error() string { return e.Err.Error() }

// Unwrap returns what is missing.
func (e MachineError) Unwrap() error { return e.Err }

// missing are the causes for which a machine can't be served on. What the kernel
// answers means this only where it is asked to attach and to open sockets: a file
// that may not be read has the same number.
var missing = []error{
	nic.ErrNoInterface, xsk.ErrNoInterface, xsk.ErrNoQueue, xsk.ErrNotSupported, bpf.ErrNotSupported,
	syscall.EPERM, syscall.EACCES,
	syscall.ENOBUFS, // the limit on locked memory
	syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE,
}

// AsMachine makes an error of attaching, or of making a lab for that, a [MachineError] if
// the machine is its cause.
func AsMachine(err error) error {
	if slices.ContainsFunc(missing, func(m error) bool { return errors.Is(err, m) }) {
		return MachineError{Err: err}
	}
	return err
}

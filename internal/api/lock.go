package api

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock is a file that one process at a time has: it holds flock(2) on it. The kernel
// drops that when the process ends, however it ends.
type lock struct{ *os.File }

// acquire makes the lock file at path and takes it; if another has it, the error is
// ErrInUse.
func acquire(path string) (*lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open its lock: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			f.Close()
			return nil, ErrInUse
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		case sameFile(f, path):
			return &lock{f}, nil
		}
		f.Close() // its holder removed it after it was opened here: try again
	}
}

// release removes the file and lets go of it, in this order: who waits for it then
// sees that it is not the file that is there.
func (l *lock) release() {
	if info, err := l.Stat(); err == nil {
		removeSame(l.Name(), info)
	}
	l.Close()
}

// sameFile reports whether f is what is at path.
func sameFile(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, there)
}

package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrInUse says that another balancer has the control socket.
var ErrInUse = errors.New("another afxlb is running")

// DefaultSocket is where the control socket is unless told otherwise.
const DefaultSocket = "/run/afxlb/afxlb.sock"

// maxPath is how many bytes the path of a socket may have: sun_path less its final
// zero (unix(7)).
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Listen opens the control socket at path, for its owner and group only. What a
// killed process left behind is replaced; a living one's socket and other files are
// not. Closing the listener removes the socket.
//
// Beside the socket there is path.lock, which is locked as long as the socket is
// open: of several that start at one moment, one gets it. The socket is made in the
// folder path.new, which nobody else may enter, and appears at path when it has its
// mode and takes connections.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	switch {
	case errors.Is(err, ErrInUse):
		return nil, fmt.Errorf("listen on control socket %s: %w (stop it, or choose another path by --socket)", path, err)
	case err != nil:
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (_ net.Listener, err error) {
	switch {
	case path == "" || path[0] == '@': // abstract: it would have no owner and no mode
		return nil, errors.New("want the path of a file")
	case len(path) > maxPath:
		return nil, fmt.Errorf("the path has %d bytes, a socket's may have %d", len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make its folder: %w", err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.release()
		}
	}()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, file, err := bind(path)
	if err != nil {
		return nil, err
	}
	return &listener{UnixListener: l, path: path, file: file, lock: lock}, nil
}

// removeStale removes the socket that a killed process left at path. The lock is held.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("a file of another kind is there")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse // a balancer before there were locks, or another program
	case errors.Is(err, syscall.EAGAIN): // its backlog is full
		return ErrInUse
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("see if somebody listens there: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}

// bind makes a listening socket appear at path, and returns what its file is.
func bind(path string) (*net.UnixListener, os.FileInfo, error) {
	private := path + ".new"
	if err := removePrivate(private); err != nil {
		return nil, nil, fmt.Errorf("remove a killed balancer's folder: %w", err)
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make a private folder: %w", err)
	}
	defer func() { _ = removePrivate(private) }()
	dir, err := openPrivate(private)
	if err != nil {
		return nil, nil, fmt.Errorf("open the private folder: %w", err)
	}
	defer dir.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: within(dir), Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("bind: %w", err)
	}
	l.SetUnlinkOnClose(false)
	file, err := publish(within(dir), path)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, file, nil
}

// publish gives a new socket its mode and then its path.
func publish(made, path string) (os.FileInfo, error) {
	if err := os.Chmod(made, 0o660); err != nil {
		return nil, fmt.Errorf("restrict it to owner and group: %w", err)
	}
	file, err := os.Lstat(made)
	if err != nil {
		return nil, err
	}
	// Unlike a rename, a link replaces nothing that came to path meanwhile.
	if err := os.Link(made, path); err != nil {
		return nil, fmt.Errorf("give it its path: %w", err)
	}
	return file, nil
}

// openPrivate opens the private folder, which no symlink can stand for.
func openPrivate(private string) (*os.File, error) {
	return os.OpenFile(private, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
}

// within returns the path of the socket in the private folder. By the descriptor it is
// short, however long the folder's own is, and leads to that folder and to no other.
func within(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/afxlb.sock", dir.Fd())
}

// removePrivate removes the private folder with the socket in it, if it is there.
func removePrivate(private string) error {
	dir, err := openPrivate(private)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	_ = os.Remove(within(dir)) // what can't be removed keeps the folder
	return os.Remove(private)
}

// listener is the control socket with what has to go with it.
type listener struct {
	*net.UnixListener
	path string
	file os.FileInfo // the socket's, to know it again
	lock *lock
	once sync.Once
}

// Addr returns where clients find the socket, which it was not bound to.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close ends the listening, removes the socket, and makes room for the next balancer.
func (l *listener) Close() (err error) {
	l.once.Do(func() {
		removeSame(l.path, l.file)
		err = l.UnixListener.Close()
		l.lock.release()
	})
	return err
}

// removeSame removes the file at path if it is the one of info, not another's that has
// taken its place.
func removeSame(path string, info os.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, info) {
		_ = os.Remove(path) // at the end: there is nothing to be done about it
	}
}

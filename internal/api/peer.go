package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
)

// peer is who is at the other end of a unix socket's connection: its effective user and
// its groups when it connected (SO_PEERCRED and SO_PEERGROUPS, unix(7)).
type peer struct {
	uid    uint32
	groups []uint32
}

// owner is whose the control socket is now: whoever administers it may give it to another
// group than that with which it was made.
func owner(path string) (uid, gid uint32, err error) {
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return s.Uid, s.Gid, nil
}

// changers returns who may change something by the control socket at path: its owner, its
// group, and root. Others may be let in to read, by the socket's mode.
func changers(path string) func(*http.Request) error {
	return func(r *http.Request) error {
		c, ok := r.Context().Value(connKey{}).(*conn)
		if !ok {
			return errors.New("it is not known who asks")
		}
		u, ok := c.Conn.(*net.UnixConn)
		if !ok {
			return errors.New("it is not known who asks")
		}
		p, err := peerOf(u)
		if err != nil {
			return fmt.Errorf("ask who asks: %w", err)
		}
		uid, gid, err := owner(path)
		if err != nil && p.uid != 0 {
			return fmt.Errorf("see who may change something: %w", err)
		}
		if p.uid == 0 || p.uid == uid || slices.Contains(p.groups, gid) {
			return nil
		}
		return fmt.Errorf("changes are for the owner and the group (%d) of the control socket", gid)
	}
}

// peerOf asks the kernel who is at the other end.
func peerOf(c *net.UnixConn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		var cred *syscall.Ucred
		if cred, inner = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); inner != nil {
			return
		}
		if p.groups, inner = peerGroups(fd); inner != nil {
			return
		}
		p.uid, p.groups = cred.Uid, append(p.groups, cred.Gid)
	})
	return p, errors.Join(err, inner)
}

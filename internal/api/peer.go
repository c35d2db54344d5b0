package api

import (
	"crypto/tls"
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

// changers returns who may change something by the listener with an address. By the
// control socket these are its owner, its group and root; others may be let in to read, by
// the socket's mode. By TLS it is whoever has a certificate.
func changers(a net.Addr) func(*http.Request) error {
	return func(r *http.Request) error {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			switch c := c.Conn.(type) {
			case *net.UnixConn:
				return mayChange(c, a.String())
			case *tls.Conn:
				return hasCertificate(c)
			}
		}
		return errors.New("it is not known who asks")
	}
}

// mayChange returns why whoever is at the other end of a connection to the control socket
// at path may not change something.
func mayChange(c *net.UnixConn, path string) error {
	p, err := peerOf(c)
	if err != nil {
		return fmt.Errorf("ask who asks: %w", err)
	}
	if p.uid == 0 {
		return nil
	}
	uid, gid, err := owner(path)
	if err != nil {
		return fmt.Errorf("see who may change something: %w", err)
	}
	if p.uid == uid || slices.Contains(p.groups, gid) {
		return nil
	}
	return fmt.Errorf("changes are for the owner and the group (%d) of the control socket", gid)
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

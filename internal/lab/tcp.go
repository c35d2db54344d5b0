package lab

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// ServeTCP has each connection to address, such as ":9000", served by a goroutine of its
// own, and closed when serve returns. When the host is closed so are all connections, and
// serve, which must end by that, is awaited.
func (h *Host) ServeTCP(address string, serve func(net.Conn)) error {
	l, err := h.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve TCP at %s on %s: %w", address, h.Name, err)
	}
	var open sync.Map // of connections
	var served sync.WaitGroup
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			open.Store(c, nil)
			served.Go(func() {
				defer open.Delete(c)
				defer c.Close()
				serve(c)
			})
		}
	}()
	h.onClose(func() error {
		err := l.Close()
		if accept := <-ended; !errors.Is(accept, net.ErrClosed) {
			err = fmt.Errorf("serve TCP at %s on %s: %w", address, h.Name, accept)
		}
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		served.Wait()
		return err
	})
	return nil
}

package lab

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Injector sends frames of the caller's own making by an interface, as they are. It may
// be used by one goroutine at a time, and is closed with its host.
type Injector struct {
	MAC net.HardwareAddr // the interface's, when the injector was made

	name string // for messages
	fd   int
}

// Injector returns one for an interface of the host.
func (h *Host) Injector(name string) (*Injector, error) {
	i, err := h.openInjector(name)
	if err == nil {
		h.onClose(i.close)
	}
	return i, err
}

// openInjector is Injector for who closes it.
func (h *Host) openInjector(name string) (*Injector, error) {
	i := &Injector{name: name + " of " + h.Name}
	err := h.Do(func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		i.MAC = link.HardwareAddr
		// Of no protocol: it receives nothing (packet(7)).
		if i.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.Bind(i.fd, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
			unix.Close(i.fd)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket on %s: %w", i.name, err)
	}
	return i, nil
}

// Inject sends a frame, from its Ethernet header on. It waits while the wire takes no more.
func (i *Injector) Inject(frame []byte) error {
	const pause, tries = 100 * time.Microsecond, 100_000 // ten seconds at the least
	for n := 1; ; n++ {
		_, err := unix.Write(i.fd, frame)
		if err == unix.ENOBUFS && n < tries {
			time.Sleep(pause)
			continue
		}
		if err != nil {
			return fmt.Errorf("send a frame by %s: %w", i.name, err)
		}
		return nil
	}
}

func (i *Injector) close() error { return unix.Close(i.fd) }

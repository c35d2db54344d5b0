package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace. Its methods may be called by any goroutine.
type Host struct {
	Name string

	ns   netns.NsHandle
	link *netlink.Handle // netlink inside of the namespace

	mu      sync.Mutex
	nursery chan func() // to the thread that children are started from
	closers []func() error
	closed  bool
}

// NewHost makes a namespace with the loopback interface up.
func NewHost(name string) (*Host, error) {
	h := &Host{Name: name, ns: netns.None()}
	err := onThread(func() (err error) {
		h.ns, err = netns.New()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	if h.link, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", name, err), h.ns.Close())
	}
	// Addresses are usable at once, link-local ones too: without duplicate address
	// detection, neighbour discovery works from the first packet on.
	err = h.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	if err == nil {
		err = h.setUp("lo")
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// setUp sets an interface up.
func (h *Host) setUp(name string) error {
	link, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set up %s of %s: %w", name, h.Name, err)
	}
	return nil
}

// onThread runs f on a thread of its own whose namespace f may change. The thread
// goes home afterwards or, if it can't, ends.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("open the thread's network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Do runs f on a thread inside of the namespace. What f opens stays there; other
// goroutines that it starts are outside.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.Name, err)
		}
		return f()
	})
}

// Dial is net.Dialer.DialContext inside of the namespace. The address must be
// literal: to look up names is not its business.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen is net.Listen inside of the namespace.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket inside of the namespace.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Start starts a program inside of the namespace. It is killed when this process
// ends, however that happens.
func (h *Host) Start(c *exec.Cmd) error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nursery == nil {
		if err := h.openNursery(); err != nil {
			return err
		}
	}
	started := make(chan error, 1)
	h.nursery <- func() { started <- c.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s in %s: %w", c.Path, h.Name, err)
	}
	h.closers = append(h.closers, func() error {
		if err := c.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	})
	return nil
}

// openNursery starts the thread from which children are started. The kernel sends
// a parent-death signal when the thread that forked ends (prctl(2),
// PR_SET_PDEATHSIG), so that must be one which stays.
func (h *Host) openNursery() error {
	tasks, ready := make(chan func()), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := netns.Set(h.ns)
		ready <- err
		if err != nil {
			return
		}
		for f := range tasks {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return fmt.Errorf("enter %s: %w", h.Name, err)
	}
	h.nursery = tasks
	return nil
}

// Sysctl writes a setting of the namespace, such as "net/ipv4/ip_forward".
func (h *Host) Sysctl(name, value string) error {
	return h.Do(func() error {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s in %s: %w", name, h.Name, err)
		}
		return nil
	})
}

// Netlink returns a netlink handle inside of the namespace. It is the host's.
func (h *Host) Netlink() *netlink.Handle { return h.link }

// onClose has f called by Close, last in first out.
func (h *Host) onClose(f func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, f)
}

// Close ends what was started on the host by this package, children included, and
// lets go of the namespace; the kernel removes it when nothing is in it any more.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	if h.nursery != nil {
		close(h.nursery)
	}
	h.link.Close()
	return errors.Join(append(errs, h.ns.Close())...)
}

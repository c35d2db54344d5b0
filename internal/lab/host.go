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

	link *netlink.Handle  // netlink inside of the namespace
	mac  net.HardwareAddr // of its Interface, once it was plugged in; one goroutine's at a time

	mu      sync.Mutex
	ns      netns.NsHandle // open until Close
	nursery chan func()    // to the thread that children are started from
	closers []func() error
	closed  bool
	cables  map[string]end // by the name of this end, the other one
}

// end is one of a cable's.
type end struct {
	host *Host
	name string
}

// settings are every host's, whatever the machine's own are: a new namespace
// inherits those of IPv4 (net.core.devconf_inherit_init_net in the kernel's
// Documentation/admin-guide/sysctl/net.rst).
var settings = []struct{ name, value string }{
	// A packet that leaks past the XDP program must be noticed, not forwarded.
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv6/conf/all/forwarding", "0"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	// Addresses are usable at once, link-local ones too: without duplicate address
	// detection, neighbour discovery works from the first packet on.
	{"net/ipv6/conf/default/accept_dad", "0"},
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
	for _, s := range settings {
		if err := h.Sysctl(s.name, s.value); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	if err := h.setUp("lo"); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// onThread runs f on a thread of its own whose namespace f may change. The thread
// goes home afterwards or, if it can't, ends.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errEnded // unless f returns
		defer func() { result <- err }()
		runtime.LockOSThread()
		home, herr := netns.Get()
		if herr != nil {
			err = fmt.Errorf("open the thread's network namespace: %w", herr)
			return
		}
		defer home.Close()
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-result
}

// errEnded is what becomes of a function that ends its goroutine: by t.Fatal, say.
var errEnded = errors.New("the function ended its goroutine instead of returning")

// Do runs f on a thread inside of the namespace. What f opens stays there; other
// goroutines that it starts are outside.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := h.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the calling thread into the namespace.
func (h *Host) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := net.ErrClosed
	if !h.closed {
		err = netns.Set(h.ns)
	}
	if err != nil {
		return fmt.Errorf("enter %s: %w", h.Name, err)
	}
	return nil
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

// Start starts a program inside of the namespace. It is killed when the host is
// closed and when this process ends, however that happens. As after c.Start, the
// caller has to call c.Wait.
func (h *Host) Start(c *exec.Cmd) error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("start %s in %s: %w", c.Path, h.Name, net.ErrClosed)
	}
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
// PR_SET_PDEATHSIG), so that must be one which stays. When the host closes it goes
// home, like any other: were it the process's first, it would not end with its
// goroutine and hold the namespace.
func (h *Host) openNursery() error {
	tasks, ready := make(chan func()), make(chan error, 1)
	go func() {
		err := onThread(func() error {
			if err := netns.Set(h.ns); err != nil {
				return err
			}
			ready <- nil
			for f := range tasks {
				f()
			}
			return nil
		})
		if err != nil {
			ready <- err
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

// Forward has the host pass on what is not for it, as a router does.
func (h *Host) Forward() error {
	return errors.Join(h.Sysctl("net/ipv4/ip_forward", "1"), h.Sysctl("net/ipv6/conf/all/forwarding", "1"))
}

// Netlink returns a netlink handle inside of the namespace. It is the host's.
func (h *Host) Netlink() *netlink.Handle { return h.link }

// onClose has f called by Close, last in first out, or at once if the host is
// closed already.
func (h *Host) onClose(f func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = f()
		return
	}
	h.closers = append(h.closers, f)
}

// Close ends what was started on the host by this package, children included, and
// lets go of the namespace; the kernel removes it when nothing is in it any more.
// To close a closed host does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true // from here on, nobody else adds closers, or enters
	h.mu.Unlock()
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

package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Where the balancer delivers packets to a service's own address (dsr), a check of the
// backend's own address proves little: one that lost the service's address passes it,
// and is a black hole for clients. So it is asked besides, as a client would: by a SYN
// to the service's address that is sent to the backend's MAC address.
//
//	SYN ─►   ◄─ SYN, ACK: it takes connections in     ─► RST
//	         ◄─ RST, ACK: it holds the address, and nobody listens
//	         silence: it does not hold the address, or is dead
//
// The connection is never opened: the RST takes it back before the server's kernel has
// anything to accept (tcp_check_req in net/ipv4/tcp_minisocks.c drops the request). We
// send it ourselves, by the same way; what the kernel sends of its own, since it knows
// of no such connection, goes by its routes, where to ever. A RST ends a probe without an
// answer, too: that one may have been lost, or come too late.
//
// The service's address may be one of this machine's, too: the kernel drops the answer as
// a martian then, but a packet socket has it before the routes are looked at.

// Hop is where frames for a backend go.
type Hop struct {
	Ifindex int
	MAC     [6]byte
	Own     netip.Addr // the machine's own address that a tunnel there comes from; invalid: none is known
}

// Link is what half-open probes have to know of the machine.
type Link interface {
	// Hop returns where frames for a backend go now, which are for itself if direct, and for
	// a router to it otherwise. An error is this machine's own.
	Hop(backend netip.Addr, direct bool) (Hop, error)
	// Taken reports whether what comes to an own address and TCP port is a service's,
	// and so would not get to the kernel.
	Taken(netip.AddrPort) bool
}

// wires are the sockets that half-open probes share, one a family. They are opened by
// the first that needs one.
type wires struct {
	mu     sync.Mutex
	v4, v6 *wire
}

// of returns the wire of the family of a.
func (w *wires) of(a netip.Addr) (*wire, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	which := &w.v6
	if a.Is4() {
		which = &w.v4
	}
	if *which == nil {
		opened, err := openWire(a.Is4())
		if err != nil {
			return nil, err
		}
		*which = opened
	}
	return *which, nil
}

func (w *wires) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range []*wire{w.v4, w.v6} {
		if one != nil {
			one.close()
		}
	}
	w.v4, w.v6 = nil, nil
}

// notHeld says that nothing came back before the time was up.
type notHeld struct {
	Target
	err error
}

func (n notHeld) Error() string {
	if n.tunnelled() {
		return fmt.Sprintf("does %v take packets out of tunnels, and have %v on lo?", n.Holder, n.Address.Addr())
	}
	return fmt.Sprintf("does %v have %v on lo?", n.Holder, n.Address.Addr())
}

func (n notHeld) Unwrap() error { return n.err }

// halfOpen asks whether t.Holder takes in what is for t.Address. It returns when it
// knows, or ctx ends.
func (p *Prober) halfOpen(ctx context.Context, t Target) error {
	if p.link == nil {
		return unsent{errors.New("nothing is known of the link")}
	}
	w, err := p.wires.of(t.Address.Addr())
	if err != nil {
		return unsent{err}
	}
	own, err := asker(&t)
	if err != nil {
		return unsent{err}
	}
	port, err := reserve(own, p.link.Taken)
	if err != nil {
		return unsent{err}
	}
	defer port.release()
	o := w.open(port.AddrPort, t.Address, nil)
	defer w.forget(o)
	flags, err := p.knock(ctx, w, o, t)
	switch {
	case err != nil:
		return err
	case flags&flagRST != 0 && !t.Closed:
		return fmt.Errorf("%w: does the server of %v listen on %v?", syscall.ECONNREFUSED, t.Holder, t.Address)
	}
	return nil
}

const (
	// again is when a SYN that could not be sent is tried again: a MAC address is
	// often only just being asked for.
	again = 20 * time.Millisecond
	// rounds is how many SYNs are sent within the timeout: one packet may be lost.
	rounds = 4
)

// knock sends SYNs until there is an answer, whose flags it returns, or ctx ends, and
// takes the last one back.
func (p *Prober) knock(ctx context.Context, w *wire, o *opening, t Target) (flags uint8, err error) {
	var last Hop // to which one was sent
	defer func() {
		if last != (Hop{}) && flags&flagRST == 0 {
			_ = w.send(o, flagRST, last, &t) // the SYN got away; else the server's own timer ends it
		}
	}()
	for {
		wait := again
		hop, unready := p.link.Hop(t.Holder, !t.tunnelled())
		if unready == nil {
			unready = w.send(o, flagSYN, hop, &t)
		}
		if unready == nil {
			last, wait = hop, t.Timeout/rounds
		}
		select {
		case flags = <-o.answer:
			return flags, nil
		case <-ctx.Done():
			if last == (Hop{}) {
				return 0, unsent{unready}
			}
			return 0, notHeld{t, ctx.Err()}
		case <-time.After(wait):
		}
	}
}

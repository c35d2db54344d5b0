package announce

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// An address on an interface is first asked for (RFC 5227, 2.1). The RFC takes up to seven
// seconds for that, as long as no service may be away; and the times of it are for
// whole networks that start together. Whoever is missed is heard of while it runs.
const (
	questions    = 3
	questionTime = 100 * time.Millisecond
	answerTime   = 200 * time.Millisecond // after the last one
	// refusedTime, and up to as much again, goes by before another try.
	refusedTime = 5 * time.Second

	announcements = 3 // of which the RFC wants two, and switches may lose one
	announceTime  = time.Second

	defendTime   = 10 * time.Second // DEFEND_INTERVAL
	conflictTime = time.Minute      // without a word of the other one, after which it is over
)

// phase is how far an entry has come.
type phase uint8

const (
	isNew   phase = iota
	asks          // whether anybody has the address
	refused       // somebody has
	holds
)

// entry is an address that is wanted.
type entry struct {
	address netip.Addr
	how     balancer.Announce
	phase   phase
	device  int // that has it, or is to have it
	name    string
	problem string

	mac      [6]byte   // of the device; as it was told
	carrier  bool      // it had one
	left     int       // questions, or announcements
	next     time.Time // of these, or of another try
	renewed  time.Time
	defended time.Time
	rival    [6]byte   // who says that it has the address
	claimed  time.Time // when it did last; zero: nobody does
}

func (e *entry) state() State {
	s := State{How: e.how, Held: e.phase == holds, Device: e.name, Problem: e.problem}
	if !e.claimed.IsZero() {
		s.Conflict = net.HardwareAddr(e.rival[:]).String()
	}
	return s
}

// heard notes what another machine says of the address.
func (e *entry) heard(c claim, now time.Time) {
	if c.probe && e.phase != asks {
		return // it asks, and the kernel answers
	}
	if e.claimed.IsZero() { // the first one stands for all, or many would be news without end
		e.rival = c.mac
	}
	e.claimed = now
	if e.phase == asks {
		e.phase, e.next = refused, now.Add(refusedTime+rand.N(refusedTime))
	}
}

// arp has an address on an interface. Between two calls some time goes by.
func (a *Announcer) arp(e *entry, l *look, ports []string) error {
	if o := l.find(e.address); o != nil && o.mark != a.mark() {
		e.phase = isNew
		return l.stranger(o)
	}
	at, err := place(e.address, ports, l.links, l.own)
	if err != nil {
		a.letGo(e)
		return err
	}
	if e.device != at.index {
		a.letGo(e)
		*e = entry{address: e.address, how: e.how, device: at.index, name: at.name}
	}
	e.name = at.name
	s := a.sockets[tap{at.index, e.address.Is6()}]
	if s == nil {
		if s, err = openSocket(at.index, e.address.Is6()); err != nil {
			return err
		}
		a.sockets[tap{at.index, e.address.Is6()}] = s
	}
	if !e.claimed.IsZero() && l.now.Sub(e.claimed) > conflictTime {
		e.claimed = time.Time{}
	}
	if e.phase == holds && l.find(e.address) == nil { // somebody has taken it away, or the interface
		e.phase = isNew
	}
	switch e.phase {
	case isNew:
		e.phase, e.left, e.next = asks, questions, l.now
		return e.ask(s, at, l.now, a.mark())
	case refused:
		if l.now.After(e.next) {
			e.phase, e.left, e.next = asks, questions, l.now
			return e.ask(s, at, l.now, a.mark())
		}
		return nil
	case asks:
		return e.ask(s, at, l.now, a.mark())
	}
	if err := e.hold(s, at, l.now, a.mark()); err != nil {
		return err
	}
	return l.answered(e.address, at.name)
}

// mark is that of this process's addresses.
func (a *Announcer) mark() uint32 { return mark + uint32(a.seat.number) }

// letGo takes the address from a device that is not the one to have it.
func (a *Announcer) letGo(e *entry) {
	if e.phase == holds {
		_ = remove(e.device, e.address) // the device may be gone
	}
	e.phase = isNew
}

// ask goes on with asking who has the address, and takes it in the end.
func (e *entry) ask(s *socket, at *link, now time.Time, mark uint32) error {
	if now.Before(e.next) {
		return nil
	}
	if e.left > 0 {
		e.left, e.next = e.left-1, now.Add(questionTime)
		if e.left == 0 {
			e.next = now.Add(answerTime)
		}
		return s.send(asking(at.mac, e.address))
	}
	if err := put(at.index, e.address, mark); err != nil {
		e.phase = isNew
		return err
	}
	e.claimed = time.Time{}
	e.phase, e.renewed, e.left = holds, now, 0
	e.mac, e.carrier = [6]byte{}, false
	return e.hold(s, at, now, mark)
}

// hold keeps the address up, and the link in the know of it: when it is new, when the link
// is, or the MAC address, and when somebody else claims it.
func (e *entry) hold(s *socket, at *link, now time.Time, mark uint32) error {
	if e.mac != at.mac || at.carrier && !e.carrier {
		e.left, e.next = announcements, now
	}
	e.mac, e.carrier = at.mac, at.carrier
	if now.Sub(e.renewed) > lifetime/3 {
		if err := put(at.index, e.address, mark); err != nil {
			return err
		}
		e.renewed = now
	}
	if !e.claimed.IsZero() && now.Sub(e.defended) > defendTime && e.claimed.After(e.defended) {
		e.defended = now
		e.left = max(e.left, 1)
		e.next = now
	}
	if e.left == 0 || !at.carrier || now.Before(e.next) {
		return nil
	}
	e.left, e.next = e.left-1, now.Add(announceTime)
	return s.send(telling(at.mac, e.address))
}

// find returns the machine's own address that is a; nil if it is none.
func (l *look) find(a netip.Addr) *address {
	for i := range l.own {
		if l.own[i].Addr() == a {
			return &l.own[i]
		}
	}
	return nil
}

// link returns the device with the index; nil if there is none.
func (l *look) link(index int) *link {
	for i := range l.links {
		if l.links[i].index == index {
			return &l.links[i]
		}
	}
	return nil
}

// answered returns why the kernel does not answer who asks a link for an address of this package's,
// which is alone in its network and of the host's scope (arp_ignore of net/ipv4/arp.c).
func (l *look) answered(a netip.Addr, device string) error {
	if a.Is6() {
		return nil
	}
	ignore, known := l.ignores[device]
	if !known {
		ignore = max(setting("all/arp_ignore"), setting(device+"/arp_ignore"))
		if l.ignores == nil {
			l.ignores = map[string]int{}
		}
		l.ignores[device] = ignore
	}
	if ignore < 2 {
		return nil
	}
	return fmt.Errorf("arp_ignore is %d on %s, by which the kernel does not answer who asks for %[3]v: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.%[4]s.arp_ignore=1",
		ignore, device, a, strings.ReplaceAll(device, ".", "/")) // sysctl(8): a dot within a name is a slash
}

// setting reads one of IPv4's of the calling thread's network namespace; 0 if there is none.
func setting(name string) int {
	text, _ := os.ReadFile("/proc/sys/net/ipv4/conf/" + name)
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// owns reports whether a MAC address is one of this machine's.
func (l *look) owns(mac [6]byte) bool {
	for i := range l.links {
		if l.links[i].mac == mac {
			return true
		}
	}
	return false
}

// stranger says that an address is not the balancer's to hold.
func (l *look) stranger(o *address) error {
	name := fmt.Sprint(o.device)
	if at := l.link(o.device); at != nil {
		name = at.name
	}
	return fmt.Errorf("%v is on %s already, and not the balancer's own there: it stays as it is; take it away, or take announce: none", o.Addr(), name)
}

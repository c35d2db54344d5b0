package balancer

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/afxlb/afxlb/internal/packet"
)

// MaxPorts is how many interfaces one balancer serves at most.
const MaxPorts = 8

// Port is a served interface, as the packet path needs to know it. The zero value is one
// that is not there.
type Port struct {
	MAC packet.MAC // of the frames that leave by it, unless their hop names another one
	MTU int        // of the packets; 0: not known
	// Standby: it is a bond's slave that takes nothing now.
	Standby bool
}

// Link is a way to and from the wire: a port, by its place in [Table.Ports], and the VLAN
// tags that frames have there. An MTU that is not 0 is less than the port's: of a VLAN's
// device, or of a route. What leaves inside of an outer header does so by a link of its own
// number, since it never stays as it came.
type Link struct {
	Port   uint8
	Tunnel bool
	MTU    uint16
	Tags   packet.Tags
}

// LinkID is a link's number in the [Links] of its tables.
type LinkID uint16

// A hop word is where a frame goes, or has come from: a MAC address as [packet.MAC.Word]
// has it, and above it the ID of the link. Ports without tags have their own numbers as
// IDs, so that a word tells at a glance whether a packet stays where it came.
const (
	hopShift = 48
	hopMAC   = 1<<hopShift - 1
)

// NoHop is the hop word of where no way is known to. Its link does not exist.
const NoHop = ^uint64(0)

// Word returns the hop word of a MAC address on the link.
func (id LinkID) Word(mac uint64) uint64 { return uint64(id)<<hopShift | mac }

// HopMAC returns the MAC address of a hop word, and HopLink its link.
func HopMAC(word uint64) uint64  { return word & hopMAC }
func HopLink(word uint64) LinkID { return LinkID(word >> hopShift) }

const (
	// maxLinks bounds the links of a process. None is ever forgotten, since flows may name
	// it; strangers who make up VLANs can fill a half of the list.
	maxLinks     = 4096
	maxStrangers = maxLinks / 2
)

// Links numbers links, for as long as the process runs. Anybody may use it at any time;
// reading takes no lock.
type Links struct {
	mu   sync.Mutex // held by writers
	list atomic.Pointer[linkList]
}

// linkList is never changed once it is published.
type linkList struct {
	links []Link
	plain []LinkID // of each, the same without an MTU
	ids   map[Link]LinkID
}

// NewLinks returns a list with the ports, which have no tags.
func NewLinks() *Links {
	l := &Links{}
	list := &linkList{ids: map[Link]LinkID{}}
	for i := range MaxPorts {
		list.add(Link{Port: uint8(i)})
	}
	l.list.Store(list)
	return l
}

func (l *linkList) add(k Link) LinkID {
	id := LinkID(len(l.links))
	plain := id
	if k.MTU != 0 {
		plain = l.ids[k.plain()]
	}
	l.links, l.plain = append(l.links, k), append(l.plain, plain)
	l.ids[k] = id
	return id
}

// plain is the link without regard to its MTU, as frames that come by it tell of it.
func (k Link) plain() Link {
	k.MTU = 0
	return k
}

// At returns the link with the ID.
func (l *Links) At(id LinkID) Link { return l.list.Load().links[id] }

// Origin returns the hop word of frames that come from where hop leads to: they know nothing
// of an MTU.
func (l *Links) Origin(hop uint64) uint64 {
	return l.list.Load().plain[HopLink(hop)].Word(HopMAC(hop))
}

// ID returns the number of a link that the machine has, and whether there is room for it.
func (l *Links) ID(k Link) (LinkID, bool) { return l.id(k, maxLinks) }

// Seen returns the number of a link by which a frame has come, and whether there is room
// for it.
func (l *Links) Seen(k Link) (LinkID, bool) { return l.id(k, maxStrangers) }

func (l *Links) id(k Link, limit int) (LinkID, bool) {
	if k.MTU != 0 {
		if _, ok := l.id(k.plain(), limit); !ok {
			return 0, false
		}
	}
	if id, ok := l.list.Load().ids[k]; ok {
		return id, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.list.Load()
	if id, ok := old.ids[k]; ok {
		return id, true
	}
	if len(old.links) >= limit {
		return 0, false
	}
	next := &linkList{links: append([]Link(nil), old.links...), plain: append([]LinkID(nil), old.plain...), ids: maps.Clone(old.ids)}
	id := next.add(k)
	l.list.Store(next)
	return id, true
}

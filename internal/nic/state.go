package nic

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoInterface says that there is no such interface in this network namespace.
var ErrNoInterface = errors.New("no such interface")

// State is an interface at one moment. It is never changed once made.
type State struct {
	Name   string
	Index  int
	Driver string // empty: it is not known
	RX, TX int    // queues in use, numbered from 0; at least one
	// Hash is RSS's indirection table: the RX queues that packets are spread over, each
	// as often as it has a part; nil if the driver does not tell.
	Hash     []uint32
	MTU      int
	Offloads Offloads
	VLANs    bool // it carries VLAN devices
	// Merging are the devices that hand their packets on to it, as a bridge's ports do, and
	// for which GRO is on.
	Merging  []string
	Loopback bool
	Bare     bool   // its packets have no Ethernet header, as those of a tunnel
	Program  uint32 // the ID of the XDP program that is attached; 0: none is
	// NoNative: the driver says that it takes no native XDP program. Before Linux 6.3 none says so.
	NoNative bool
	// NoZeroCopy: the driver says that AF_XDP has none on it. Before Linux 6.3 none says so.
	NoZeroCopy bool
	// NoFrags: the driver says that it gives no native XDP program packets in several buffers.
	NoFrags bool
	// ZeroCopyFrames is how many frames a packet may have in zero-copy; 0: the driver does not
	// say, as before Linux 6.6.
	ZeroCopyFrames int
}

// Offloads are those switched on by which a packet is another one when it comes to an XDP
// program. The kernel's own merging (GRO) comes after a native program, and makes way for
// a generic one on the same device (netif_elide_gro of include/linux/netdevice.h).
type Offloads struct {
	VLAN        bool // rx-vlan-offload: the NIC takes the tag off
	LRO         bool // the NIC or its driver merges packets
	GROHardware bool // rx-gro-hw: as LRO
}

// offloads reads them off a list by the kernel's names (net/ethtool/common.c).
//
// virtio-net has its host merge nothing while a program is attached, and goes on to show
// the feature as on (virtnet_xdp_set and virtnet_clear_guest_offloads of
// drivers/net/virtio_net.c; up to Linux 5.14 that was LRO).
func offloads(driver string, on map[string]bool) Offloads {
	merges := driver != "virtio_net"
	return Offloads{VLAN: on["rx-vlan-hw-parse"], LRO: on["rx-lro"] && merges, GROHardware: on["rx-gro-hw"] && merges}
}

// equal reports whether nothing differs but the program, which the balancer itself attaches.
func (s *State) equal(o *State) bool {
	return s.Name == o.Name && s.Index == o.Index && s.RX == o.RX && s.TX == o.TX && slices.Equal(s.Hash, o.Hash) &&
		s.MTU == o.MTU && s.Offloads == o.Offloads && s.VLANs == o.VLANs && slices.Equal(s.Merging, o.Merging) &&
		s.Loopback == o.Loopback && s.NoZeroCopy == o.NoZeroCopy && s.NoFrags == o.NoFrags && s.ZeroCopyFrames == o.ZeroCopyFrames
}

// Unserved returns the RX queues that are not among those served, and the part of the
// packets that comes to them: as RSS's table says, and else as if it were even.
func (s *State) Unserved(served []int) (queues []int, share float64) {
	for q := range s.RX {
		if !slices.Contains(served, q) {
			queues = append(queues, q)
		}
	}
	if len(s.Hash) == 0 {
		return queues, float64(len(queues)) / float64(s.RX)
	}
	lost := 0
	for _, q := range s.Hash {
		if !slices.Contains(served, int(q)) {
			lost++
		}
	}
	return queues, float64(lost) / float64(len(s.Hash))
}

// Look asks for an interface's state, in the calling thread's network namespace. The
// error wraps [ErrNoInterface] if there is none.
func Look(name string) (State, error) {
	r, err := openReader(name)
	if err != nil {
		return State{}, err
	}
	defer r.close()
	return r.read()
}

// reader asks the kernel, in the network namespace that it was opened in.
type reader struct {
	name string
	tool *ethtool.Ethtool
	link *netlink.Handle
	fd   int // any socket, for ioctls that the library does not have

	features map[int]features // by index, since they do not change
}

func openReader(name string) (r *reader, err error) {
	r = &reader{name: name, features: map[int]features{}}
	if r.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("ask for the state of %s: %w", name, err)
	}
	if r.tool, err = ethtool.NewEthtool(); err == nil {
		if r.link, err = netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
			if l, err := r.link.LinkByName(name); err == nil {
				r.features[l.Attrs().Index] = ask(l.Attrs().Index)
			}
			return r, nil
		}
		r.tool.Close()
	}
	unix.Close(r.fd)
	return nil, fmt.Errorf("ask for the state of %s: %w", name, err)
}

func (r *reader) close() {
	r.link.Close()
	r.tool.Close()
	unix.Close(r.fd)
}

// read asks for everything. What a driver does not tell is zero.
func (r *reader) read() (State, error) {
	link, err := r.link.LinkByName(r.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return State{}, fmt.Errorf("find %s: %w", r.name, ErrNoInterface)
	}
	if err != nil {
		return State{}, fmt.Errorf("ask for the state of %s: %w", r.name, err)
	}
	a := link.Attrs()
	f := r.features[a.Index]
	s := State{
		Name: r.name, Index: a.Index, MTU: a.MTU, Loopback: a.Flags&net.FlagLoopback != 0, Bare: a.EncapType != "ether" && a.EncapType != "loopback",
		NoNative: f.noNative, NoZeroCopy: f.noZeroCopy, NoFrags: f.noFrags, ZeroCopyFrames: f.zeroCopyFrames,
	}
	if a.Xdp != nil {
		s.Program = a.Xdp.ProgId
	}
	s.RX, s.TX = r.queues(a)
	s.Hash, _ = indirection(r.fd, r.name)
	s.Driver, _ = r.tool.DriverName(r.name)
	if on, err := r.tool.Features(r.name); err == nil {
		s.Offloads = offloads(s.Driver, on)
	}
	if s.Offloads.VLAN { // else it does not matter
		s.VLANs = len(r.links(func(l netlink.Link) bool { return l.Type() == "vlan" && above(l, a.Index) })) > 0
	}
	for _, name := range r.below(link) {
		if on, err := r.tool.Features(name); err == nil && on["rx-gro"] {
			s.Merging = append(s.Merging, name)
		}
	}
	return s, nil
}

// below returns the devices that hand their packets on to a link.
func (r *reader) below(link netlink.Link) []string {
	index := link.Attrs().Index
	switch link.Type() {
	case "bridge", "bond", "team":
		return r.links(func(l netlink.Link) bool { return l.Attrs().MasterIndex == index })
	case "vlan", "macvlan", "ipvlan":
		return r.links(func(l netlink.Link) bool { return above(link, l.Attrs().Index) })
	}
	return nil
}

// above reports whether a link is one of those with a parent, and it is that one: of this
// network namespace.
func above(l netlink.Link, index int) bool {
	return l.Attrs().ParentIndex == index && l.Attrs().NetNsID < 0
}

// links returns the names of those that are wanted.
func (r *reader) links(want func(netlink.Link) bool) (names []string) {
	list, err := r.link.LinkList()
	if err != nil {
		return nil
	}
	for _, l := range list {
		if want(l) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

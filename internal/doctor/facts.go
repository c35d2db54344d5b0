package doctor

import (
	"net/netip"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/announce"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/egress"
)

// Facts is what was seen of a machine, at one moment. What was not asked for, or is of no
// matter, is zero.
type Facts struct {
	Machine
	Config *config.Config

	Privilege error   // what the process lacks for AF_XDP
	Kernel    string  // its release
	Several   bool    // packets may have several frames
	Memory    []error // limits on it that are too low
	Site      Site
	NoSite    error // why there is none
	Refused   error // why it can't be served
	Programs  []Program
	Ways      egress.Snapshot // to the backends
	Meetings  []string        // of services and this machine's own servers
	Punt      error           // why nothing can be given back to the kernel

	Running *api.Status   // of the balancer that answers; nil: none does
	Pending []string      // what a reload of that would change
	Unasked error         // why that is not known
	Lost    []api.Counter // of packets that were lost before a worker had them, or after
	Left    Leftovers
}

// Machine is what is of the machine as a whole, and of the interfaces that are served there.
type Machine struct {
	Spec       *balancer.Spec
	Ports      []string // the interfaces
	Own        []netip.Prefix
	Routing    Routing
	Neighbours Neighbours
	NICs       []NIC // by port
	CPUs       []int // of the workers, by queue; -1: any
	Balances   bool  // irqbalance runs
	VRRP       bool  // keepalived runs, which takes addresses to one of several machines
	Firewall   Firewall
}

// Program is an XDP program that is on an interface already.
type Program struct {
	Interface string
	Name      string
	Steers    bool
	Err       error // why nothing can be said of it
}

// Routing is how the kernel forwards in the network namespace.
type Routing struct {
	Forwards4, Forwards6 bool
	Strict               []string // ports whose reverse path filter is strict (rp_filter 1)
	Filtered             uint64   // packets that it has dropped (IPReversePathFilter of /proc/net/netstat)
}

// Neighbours is the table of one family's (neigh_table of the kernel), which all network
// namespaces share; thresholds of 0 are not known.
type Neighbours struct {
	Entries4, Soft4, Hard4 int // gc_thresh2, gc_thresh3
	Entries6, Soft6, Hard6 int
}

// NIC is where an interface's interrupts are.
type NIC struct {
	Driver     string
	Node       int // NUMA; -1: none
	Nodes      map[int]int
	Interrupts []Interrupt
}

// Interrupt is that of a queue.
type Interrupt struct {
	Number, Queue int
	CPUs          []int // that it may be handled by
}

// Firewall is what netfilter would do to a service's packets, which XDP takes before it.
type Firewall struct {
	Rules  []Rule
	Legacy []string // tables of iptables-legacy that are in use
	Err    error    // why they can't be read
}

// Rule is one of nftables that names a service's address as the destination.
type Rule struct {
	Family, Table, Chain string
	Handle               uint64
	Address              netip.Addr
}

// Leftovers is what an end without leave may have left, and a stopped balancer has not.
type Leftovers struct {
	Devices []string // of the names that a balancer gives
	Socket  string   // that nobody answers at
	State   string   // a state file that was not finished
	// Addresses of services, on interfaces.
	Addresses []announce.Left
}

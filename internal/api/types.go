package api

import "time"

// The states of a [Status].
const (
	StateStarting = "starting" // not served yet
	StateServing  = "serving"  // all that comes for the services is served
	StateDegraded = "degraded" // a part of it is lost, or all while there is no link, or an interface is away; Reason says why
	StateWaiting  = "waiting"  // nothing is served: the interfaces are away, or can't be served now
	StateStopping = "stopping" // nothing is served any more
)

// Status is the balancer at a glance.
type Status struct {
	Version      string      `json:"version"`
	PID          int         `json:"pid"`
	Started      time.Time   `json:"started"`
	State        string      `json:"state"`         // see StateStarting
	Reason       string      `json:"reason"`        // why it is degraded or waiting
	Warnings     []Warning   `json:"warnings"`      // what is not as it should be now, the worst first
	Generation   uint64      `json:"generation"`    // of the balancing table
	Config       string      `json:"config"`        // the file it was loaded from
	Reload       string      `json:"reload"`        // outcome of the last reload: empty, "ok" or what was wrong
	NeedsRestart []string    `json:"needs_restart"` // config keys that a reload found changed and could not apply
	Interface    string      `json:"interface"`     // all of them, separated by commas
	Driver       string      `json:"driver"`        // native | asavie
	XDPMode      string      `json:"xdp_mode"`      // of the first one that is served, as in Ports
	Bind         string      `json:"bind"`          // the same
	Poll         string      `json:"poll"`          // adaptive | busy
	Services     UpTotal     `json:"services"`
	Backends     UpTotal     `json:"backends"`
	Flows        FlowTable   `json:"flows"`
	SnatPorts    []SnatPorts `json:"snat_ports"` // of full NAT, by backend, the fullest first
	Drops        []Counter   `json:"drops"`      // drop reasons that are not 0, largest first
	Ports        []Port      `json:"ports"`
	Workers      []Worker    `json:"workers"`
}

// Port is a served interface.
type Port struct {
	Name     string `json:"name"`
	State    string `json:"state"`    // serving | waiting
	Reason   string `json:"reason"`   // why it is waiting
	XDPMode  string `json:"xdp_mode"` // how the program is attached: native | generic
	Bind     string `json:"bind"`     // how the sockets are bound: zero-copy | copy
	Queues   []int  `json:"queues"`   // that are served
	Received uint64 `json:"received"`
	Sent     uint64 `json:"sent"`
	Copied   uint64 `json:"copied"` // of these, from a copy
	Apart    string `json:"apart"`  // why what crosses to others and from them is copied; empty: it is not, but for others' reasons
}

// Warning is something that is wrong now and wants a look.
type Warning struct {
	Code  string    `json:"code"` // the same for all of its kind
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// UpTotal counts things that can be up.
type UpTotal struct {
	Up    int `json:"up"`
	Total int `json:"total"`
}

// FlowTable is how full the flow table is, and what happened to it.
type FlowTable struct {
	Flows              int            `json:"flows"`
	ByClass            map[string]int `json:"by_class"`
	MaxFlows           int            `json:"max_flows"`
	MaxEmbryonic       int            `json:"max_embryonic"`
	Inserted           uint64         `json:"inserted"`
	Expired            uint64         `json:"expired"`
	EvictedEstablished uint64         `json:"evicted_established"`
	EvictedEmbryonic   uint64         `json:"evicted_embryonic"`
	Clashes            uint64         `json:"clashes"`
	Clients            int            `json:"clients"`     // that persistence remembers
	MaxClients         int            `json:"max_clients"` // that there is room for
}

// SnatPorts is how many source ports full NAT has in use towards one backend, over all of
// the service's snat-addresses. It is not in the list while there is none.
type SnatPorts struct {
	Service string `json:"service"`
	Backend string `json:"backend"`
	Taken   int    `json:"taken"`   // by flows, and those that rest
	Resting int    `json:"resting"` // used lately, and not free yet
	Total   int    `json:"total"`
}

// Worker is the worker of the queues of one number.
type Worker struct {
	Queue     int    `json:"queue"`
	CPU       int    `json:"cpu"` // -1: not pinned
	Received  uint64 `json:"received"`
	Forwarded uint64 `json:"forwarded"`
	Replied   uint64 `json:"replied"`
	Punted    uint64 `json:"punted"` // given back to the kernel
	Dropped   uint64 `json:"dropped"`
	Misses    uint64 `json:"misses"`
	Batches   uint64 `json:"batches"`
	Sleeps    uint64 `json:"sleeps"`
	Bind      string `json:"bind"`
	Frames    Frames `json:"frames"`
	// Detour: the queue has no TX queue, and what it receives is sent by others in a slower way.
	Detour bool `json:"detour"`
}

// Frames is the ledger of a queue's frames, as of the same moment as its counters. The
// first four add up to Total at any time.
type Frames struct {
	Free     uint32 `json:"free"`
	Filled   uint32 `json:"filled"`   // with the kernel, to receive into
	Held     uint32 `json:"held"`     // being worked on; 0 between batches
	Transmit uint32 `json:"transmit"` // on their way out
	Total    uint32 `json:"total"`
	Size     uint32 `json:"size"` // bytes of each
}

// Service is one service with its sums.
type Service struct {
	Name       string  `json:"name"`
	Address    string  `json:"address"`
	Port       string  `json:"port"`
	Protocol   string  `json:"protocol"`
	Mode       string  `json:"mode"`
	Algorithm  string  `json:"algorithm"`
	Backends   UpTotal `json:"backends"`
	Live       int64   `json:"live"` // connections now
	Flows      uint64  `json:"flows"`
	PacketsIn  uint64  `json:"packets_in"`
	PacketsOut uint64  `json:"packets_out"` // replies; nat only
	BytesIn    uint64  `json:"bytes_in"`
	BytesOut   uint64  `json:"bytes_out"`
}

// Backend is one backend of one service. New flows go to it only in state up:
//
//	up           it can serve
//	drain        it can serve, but has weight 0: the flows that it has may go on
//	down         its health check failed
//	warming      it is not known yet whether it can serve
//	unreachable  no way leads to it by the served interface; Reason says why
type Backend struct {
	Service string    `json:"service"`
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Port    string    `json:"port"`
	Weight  int       `json:"weight"`
	State   string    `json:"state"`
	Reason  string    `json:"reason"` // why it is unreachable, or what it is warming for; empty otherwise
	Since   time.Time `json:"since"`
	Check   string    `json:"check"` // outcome of the last health check
	MAC     string    `json:"mac"`   // next hop; empty: not known. Several have commas between
	// Egress is the interface that frames leave by, with the VLAN tags that they have there:
	// eth0, or eth0.100.7. Of several next hops it is each one's.
	Egress     string `json:"egress"`
	Live       int64  `json:"live"`
	Handicap   int64  `json:"handicap"` // connections that it counts as having besides, after its return
	Flows      uint64 `json:"flows"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
}

// Flow is one tracked flow.
type Flow struct {
	Protocol   string        `json:"protocol"`
	Client     string        `json:"client"`
	VIP        string        `json:"vip"`
	Service    string        `json:"service"`
	Backend    string        `json:"backend"`
	Target     string        `json:"target"` // the backend's address and port
	Source     string        `json:"source"` // what the backend takes for the client; empty: that itself
	State      string        `json:"state"`
	Age        time.Duration `json:"age_ns"`
	Idle       time.Duration `json:"idle_ns"`
	PacketsIn  uint64        `json:"packets_in"`
	PacketsOut uint64        `json:"packets_out"`
	BytesIn    uint64        `json:"bytes_in"`
	BytesOut   uint64        `json:"bytes_out"`
}

// FlowFilter selects flows; zero fields select all.
type FlowFilter struct {
	Service, Backend string
	Client           string // IP address
	Limit            int    // at most so many; 0: as many as the server thinks fit, 1,000
}

// Counter is one counter with its meaning.
type Counter struct {
	Group string `json:"group"` // packets | checksums | steering | kernel | flows
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Help  string `json:"help"`
}

// Reload is what came of a reload that was done.
type Reload struct {
	Generation   uint64   `json:"generation"`    // of the balancing table that has it all
	NeedsRestart []string `json:"needs_restart"` // config keys that changed and could not be applied
}

// ConfigError is a config that can't be had; nothing was changed. Its text is for
// whoever wrote the config: what is wrong, a line for each mistake.
type ConfigError struct{ Err error }

func (e ConfigError) Error() string { return e.Err.Error() }
func (e ConfigError) Unwrap() error { return e.Err }

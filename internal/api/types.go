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

// Status is the balancer at a glance. ReloadOutline is what [ServeReads] has for Reload, where that
// has words of the config file; empty: it is for everybody.
type Status struct {
	Version       string      `json:"version"`
	PID           int         `json:"pid"`
	Started       time.Time   `json:"started"`
	State         string      `json:"state" enum:"starting,serving,degraded,waiting,stopping"`
	Reason        string      `json:"reason" doc:"why it is degraded or waiting"`
	Warnings      []Warning   `json:"warnings" doc:"what is not as it should be now, the worst first"`
	Generation    uint64      `json:"generation" doc:"of the balancing table"`
	Config        string      `json:"config" doc:"the file it was loaded from"`
	Reload        string      `json:"reload" doc:"outcome of the last reload: empty, ok or what was wrong"`
	ReloadOutline string      `json:"-"`
	NeedsRestart  []string    `json:"needs_restart" doc:"config keys that a reload found changed and could not apply"`
	Interface     string      `json:"interface" doc:"all of them, separated by commas"`
	Driver        string      `json:"driver" enum:"native,asavie"`
	XDPMode       string      `json:"xdp_mode" doc:"of the first port that is served"`
	Bind          string      `json:"bind" doc:"of the first port that is served"`
	Poll          string      `json:"poll" enum:"adaptive,busy"`
	Services      UpTotal     `json:"services" doc:"up is who has a backend in rotation: in a panic one that is down, too"`
	Backends      UpTotal     `json:"backends"`
	NotUp         []NotUp     `json:"not_up" doc:"the first few of the backends that are not up: what is down lately before what has been longer, and what operators have disabled last"`
	Flows         FlowTable   `json:"flows"`
	SnatPorts     []SnatPorts `json:"snat_ports" doc:"of full NAT, by backend, the fullest first"`
	Drops         []Counter   `json:"drops" doc:"drop reasons that are not 0, largest first"`
	Ports         []Port      `json:"ports"`
	Workers       []Worker    `json:"workers"`
	Overrides     []Override  `json:"overrides" doc:"backends that operators have changed at run time"`
}

// Port is a served interface.
type Port struct {
	Name     string `json:"name"`
	State    string `json:"state" enum:"serving,waiting"`
	Reason   string `json:"reason" doc:"why it is waiting"`
	XDPMode  string `json:"xdp_mode" doc:"how the program is attached: native | generic"`
	Bind     string `json:"bind" doc:"how the sockets are bound: zero-copy | copy"`
	Queues   []int  `json:"queues" doc:"that are served"`
	Received uint64 `json:"received"`
	Sent     uint64 `json:"sent"`
	Copied   uint64 `json:"copied" doc:"of what was sent, from a copy"`
	Apart    string `json:"apart" doc:"why what crosses to others and from them is copied; empty: it is not, but for others' reasons"`
	WhyCopy  string `json:"why_copy" doc:"in XDP mode auto: why it is not zero-copy"`
}

// Warning is something that is wrong now and wants a look. Outline is for Text what ReloadOutline
// of a [Status] is for Reload.
type Warning struct {
	Code    string    `json:"code" doc:"the same for all of its kind"`
	Text    string    `json:"text"`
	Outline string    `json:"-"`
	Since   time.Time `json:"since"`
}

// UpTotal counts things that can be up. A service is while some backend is in rotation, which
// is to say that it gets new flows. A backend is while it can serve, in rotation or not: in the
// states up and drain.
type UpTotal struct {
	Up    int `json:"up"`
	Total int `json:"total"`
}

// NotUp is a backend that can't serve.
type NotUp struct {
	Service string    `json:"service"`
	Backend string    `json:"backend"`
	Address string    `json:"address" doc:"with the port, if it has one"`
	State   string    `json:"state" enum:"down,warming,unreachable,disabled"`
	Reason  string    `json:"reason" doc:"why: what its health check found, or why there is no way to it"`
	Since   time.Time `json:"since"`
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
	Clients            int            `json:"clients" doc:"that persistence remembers"`
	MaxClients         int            `json:"max_clients" doc:"that there is room for"`
}

// SnatPorts is how many source ports full NAT has in use towards one backend, over all of
// the service's snat-addresses. It is not in the list while there is none.
type SnatPorts struct {
	Service string `json:"service"`
	Backend string `json:"backend"`
	Taken   int    `json:"taken" doc:"by flows, and those that rest"`
	Resting int    `json:"resting" doc:"used lately, and not free yet"`
	Total   int    `json:"total"`
}

// Worker is the worker of the queues of one number.
type Worker struct {
	Queue     int    `json:"queue"`
	CPU       int    `json:"cpu" doc:"-1: not pinned"`
	Received  uint64 `json:"received"`
	Forwarded uint64 `json:"forwarded"`
	Replied   uint64 `json:"replied"`
	Punted    uint64 `json:"punted" doc:"given back to the kernel"`
	Dropped   uint64 `json:"dropped"`
	Misses    uint64 `json:"misses"`
	Batches   uint64 `json:"batches"`
	Sleeps    uint64 `json:"sleeps"`
	Bind      string `json:"bind"`
	Frames    Frames `json:"frames"`
	Detour    bool   `json:"detour" doc:"the queue has no TX queue, and what it receives is sent by others in a slower way"`
}

// Frames is the ledger of a queue's frames, as of the same moment as its counters. The
// first four add up to Total at any time.
type Frames struct {
	Free     uint32 `json:"free"`
	Filled   uint32 `json:"filled" doc:"with the kernel, to receive into"`
	Held     uint32 `json:"held" doc:"being worked on; 0 between batches"`
	Transmit uint32 `json:"transmit" doc:"on their way out"`
	Total    uint32 `json:"total"`
	Size     uint32 `json:"size" doc:"bytes of each"`
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
	Live       int64   `json:"live" doc:"connections now"`
	Flows      uint64  `json:"flows"`
	PacketsIn  uint64  `json:"packets_in"`
	PacketsOut uint64  `json:"packets_out" doc:"replies; nat only"`
	BytesIn    uint64  `json:"bytes_in"`
	BytesOut   uint64  `json:"bytes_out"`
	InRotation int     `json:"in_rotation" doc:"backends that get new flows"`
	Fallback   string  `json:"fallback" enum:",backup,panic,down" doc:"what it does for want of healthy backends: backup ones get new flows, or in panic all, healthy or not, or nobody, since the service is taken down; empty: nothing"`

	Announce        string `json:"announce" enum:"none,local,arp" doc:"how the address gets to be the machine's"`
	Announced       bool   `json:"announced" doc:"this machine holds the address by that"`
	AddressConflict string `json:"address_conflict" doc:"MAC address of another machine that says it has the address; empty: none"`
}

// Short says in a word what comes of a want of backends that take new flows: what the service falls
// back on, or drained if all that can serve drain. Empty: there is no such want, or nobody who can serve.
func (s *Service) Short() string {
	if s.Fallback == "" && s.InRotation == 0 && s.Backends.Up > 0 {
		return "drained"
	}
	return s.Fallback
}

// Backend is one backend of one service. New flows go to it only in state up, or in a panic (see
// Share):
//
//	up           it can serve
//	drain        it can serve, but has weight 0: the flows that it has may go on
//	down         its health check failed
//	warming      it is not known yet whether it can serve
//	unreachable  no way leads to it by the served interface; Reason says why
//	disabled     an operator has taken it out: it is as if it were not there
type Backend struct {
	Service    string    `json:"service"`
	Name       string    `json:"name"`
	Address    string    `json:"address"`
	Port       string    `json:"port"`
	Weight     int       `json:"weight" doc:"the effective one"`
	State      string    `json:"state" enum:"up,drain,down,warming,unreachable,disabled"`
	Reason     string    `json:"reason" doc:"why it is unreachable, what it is warming for, or why it gets new flows that it would not get by its state, or fewer; empty otherwise"`
	Since      time.Time `json:"since"`
	Check      string    `json:"check" doc:"outcome of the last health check"`
	MAC        string    `json:"mac" doc:"next hop; empty: not known. Several have commas between"`
	Egress     string    `json:"egress" doc:"the interface that frames leave by, with the VLAN tags that they have there, as eth0.100.7; of several next hops it is each one's"`
	Live       int64     `json:"live"`
	Handicap   int64     `json:"handicap" doc:"connections that it counts as having besides, after its return"`
	Flows      uint64    `json:"flows"`
	PacketsIn  uint64    `json:"packets_in"`
	PacketsOut uint64    `json:"packets_out"`
	BytesIn    uint64    `json:"bytes_in"`
	BytesOut   uint64    `json:"bytes_out"`
	Override   string    `json:"override" doc:"what operators have changed at run time, as in drain, weight 5; empty: nothing"`
	FileWeight int       `json:"file_weight" doc:"the weight that the file gives it"`
	Share      int       `json:"share" doc:"how much of what its weight gives it it gets of new flows, in percent: 0 while it is not in rotation, and less than 100 in a slow-start"`
	Backup     bool      `json:"backup" doc:"it gets new flows while no other backend can have them"`
	MaxConns   uint32    `json:"max_conns" doc:"how many connections it may have; 0: any number"`
	Standing   int64     `json:"established" doc:"of the live ones, those that both ends have agreed to: what max_conns bounds"`
	Full       bool      `json:"full" doc:"it has as many as it may have, and gets no new ones"`
	Checks     []Check   `json:"checks" doc:"the questions that it is asked, each with its latest answer"`
	Suspicions uint64    `json:"suspicions" doc:"how often clients' connections, refused or unanswered, have had it checked at once"`
}

// Check is a question to a backend, with its latest answer. In modes that deliver packets to
// the service's own address there is a second one, whether the backend has that.
type Check struct {
	Type    string        `json:"type"`
	Address string        `json:"address" doc:"that is asked; with a port, if it has one"`
	Source  string        `json:"source" doc:"that it comes from; empty: the kernel's choice"`
	Result  string        `json:"result" enum:"ok,failed,local,none" doc:"local: the balancer itself could not ask, which is no verdict; none: there is no answer yet"`
	Error   string        `json:"error" doc:"what was wrong; empty: nothing"`
	Took    time.Duration `json:"took_ns"`
	At      *time.Time    `json:"at" doc:"when it was asked; null: not yet"`
	Next    *time.Time    `json:"next" doc:"when it is asked next; null: it is being asked, or waits for its turn"`
}

// Flow is one tracked flow.
type Flow struct {
	Protocol   string        `json:"protocol"`
	Client     string        `json:"client"`
	VIP        string        `json:"vip"`
	Service    string        `json:"service"`
	Backend    string        `json:"backend"`
	Target     string        `json:"target" doc:"the backend's address and port"`
	Source     string        `json:"source" doc:"what the backend takes for the client; empty: that itself"`
	State      string        `json:"state"`
	Age        time.Duration `json:"age_ns"`
	Idle       time.Duration `json:"idle_ns"`
	PacketsIn  uint64        `json:"packets_in"`
	PacketsOut uint64        `json:"packets_out"`
	BytesIn    uint64        `json:"bytes_in"`
	BytesOut   uint64        `json:"bytes_out"`
}

// FlowFilter selects flows. Fields that are left out select all, but for the limit's default.
type FlowFilter struct {
	Service string `query:"service" doc:"only this service's"`
	Backend string `query:"backend" doc:"only this backend's"`
	Client  string `query:"client" format:"ip" doc:"only this client address's"`
	Limit   int    `query:"limit" minimum:"1" default:"1000" doc:"at most so many"`
}

// Counter is one counter with its meaning.
type Counter struct {
	Group string `json:"group" doc:"packets | checksums | steering | kernel | flows"`
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Loss  bool   `json:"loss" doc:"it counts packets that were lost"`
	Help  string `json:"help"`
}

// ConfigError is a config that can't be had; nothing was changed. Its text is for
// whoever wrote the config: what is wrong, a line for each mistake.
type ConfigError struct{ Err error }

func (e ConfigError) Error() string { return e.Err.Error() }
func (e ConfigError) Unwrap() error { return e.Err }

// MachineError is what this machine can't do, for want of what it names; nothing was changed.
type MachineError struct{ Err error }

func (e MachineError) Error() string { return e.Err.Error() }
func (e MachineError) Unwrap() error { return e.Err }

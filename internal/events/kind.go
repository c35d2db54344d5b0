package events

// Kind is what kind of a change an event tells of. The list is closed: programs go by it.
// Kinds of what lasts have the name of the status's warning that lasts with it.
type Kind string

// The kinds; [Kinds] says what each means.
const (
	Start              Kind = "start"
	Stop               Kind = "stop"
	Serving            Kind = "serving"
	Waiting            Kind = "waiting"
	Anew               Kind = "anew"
	Link               Kind = "link"
	Port               Kind = "port"
	MAC                Kind = "mac"
	BackendUp          Kind = "backend-up"
	BackendDown        Kind = "backend-down"
	BackendUnreachable Kind = "backend-unreachable"
	BackendWarming     Kind = "backend-warming"
	BackendDrain       Kind = "backend-drain"
	BackendDisabled    Kind = "backend-disabled"
	Override           Kind = "override"
	StateFile          Kind = "state-file"
	NoBackend          Kind = "no-backend"
	Backup             Kind = "backup"
	Panic              Kind = "panic"
	BelowMinHealthy    Kind = "below-min-healthy"
	BackendFull        Kind = "backend-full"
	Unanswered         Kind = "unanswered"
	Reload             Kind = "reload"
	ReloadRefused      Kind = "reload-refused"
	Restart            Kind = "restart"
	Commit             Kind = "commit"
	Probes             Kind = "probes"
	SnatAddress        Kind = "snat-address"
	SnatPorts          Kind = "snat-ports"
	CheckSource        Kind = "check-source"
	Listener           Kind = "listener"
	Queues             Kind = "queues"
	MTU                Kind = "mtu"
	LRO                Kind = "lro"
	GRO                Kind = "gro"
	VLAN               Kind = "vlan"
	TxQueues           Kind = "tx-queues"
	CPUs               Kind = "cpus"
	PollBusy           Kind = "poll-busy"
	Generic            Kind = "generic"
	Copied             Kind = "copied"
	Punt               Kind = "punt"
	PuntLimit          Kind = "punt-limit"
	ReplyLimit         Kind = "reply-limit"
	FlowTable          Kind = "flow-table"
	Clients            Kind = "clients"
	Overload           Kind = "overload"
	Stalled            Kind = "stalled"
	Checksums          Kind = "checksums"
	RPFilter           Kind = "rp-filter"
	Neighbours         Kind = "neighbours"
	IRQ                Kind = "irq"
	NUMA               Kind = "numa"
	Firewall           Kind = "firewall"
	Interface          Kind = "interface"
	API                Kind = "api"
	Listen             Kind = "listen"
	Announce           Kind = "announce"
	AnnounceFailed     Kind = "announce-failed"
	AddressConflict    Kind = "address-conflict"
)

// Meaning is what events of a kind tell of.
type Meaning struct {
	Kind Kind
	Help string
}

// Kinds is all of them, each with its meaning.
var Kinds = []Meaning{
	{Start, "the process starts"},
	{Stop, "it has stopped"},
	{Serving, "an interface is served"},
	{Waiting, "nothing is served: the interfaces are away, or can't be served now"},
	{Anew, "the sockets of an interface are made anew, since those that it had are not right for it any more"},
	{Link, "no interface has a carrier"},
	{Port, "one of several interfaces has no carrier, or is away"},
	{MAC, "an interface has another MAC address"},
	{BackendUp, "a backend can serve"},
	{BackendDown, "its health check fails"},
	{BackendUnreachable, "no way leads to it"},
	{BackendWarming, "it can be reached again, and it is not known yet whether it can serve"},
	{BackendDrain, "it keeps its flows, and gets no new ones"},
	{BackendDisabled, "an operator has taken it out: it is as if it were not there"},
	{Override, "an operator has changed a backend at run time; it is over when the file has its say again"},
	{StateFile, "what operators have changed at run time can't be kept over a restart"},
	{NoBackend, "a service has no backend in rotation"},
	{Backup, "backup backends take new flows, since too few others can"},
	{Panic, "fewer backends of a service are healthy than min-healthy asks for: all take new flows"},
	{BelowMinHealthy, "fewer backends of a service are healthy than min-healthy asks for: it is taken down"},
	{BackendFull, "new connections find all backends of their service with max-conns connections"},
	{Unanswered, "clients get no connection to a backend that is up by its check, or has none"},
	{Reload, "the config was read again, and is in force"},
	{ReloadRefused, "the config was read again, and can't be had; nothing has changed"},
	{Restart, "a part of the config is not in force before a restart"},
	{Commit, "the kernel does not take what is desired; it is tried again"},
	{Probes, "probes fail for a reason of this machine's own, and are no verdict"},
	{SnatAddress, "a source address of full NAT is none of this machine's"},
	{CheckSource, "the address that health checks are to come from is none of this machine's"},
	{SnatPorts, "the source ports of full NAT towards a backend run out"},
	{Listener, "a service has a port of this machine's own servers"},
	{Queues, "an interface has got queues, or not all of them are served"},
	{MTU, "an interface's MTU is larger than what fits into a frame"},
	{LRO, "the interface merges packets, which are lost"},
	{GRO, "a peer on this machine merges packets, which are lost"},
	{VLAN, "the interface takes VLAN tags off"},
	{TxQueues, "an interface has fewer TX queues than RX queues"},
	{CPUs, "there are fewer CPUs than workers"},
	{PollBusy, "workers that never sleep have all CPUs: health checks, reloads and the API have none of their own"},
	{Generic, "the interface's driver takes no native program: XDP is slow"},
	{Copied, "what crosses between interfaces is copied"},
	{Punt, "what is nobody's can't be given back to the kernel"},
	{PuntLimit, "more is to be given back to the kernel than is allowed"},
	{ReplyLimit, "more answers are due than are allowed"},
	{FlowTable, "the flow table is full, or nearly"},
	{Clients, "the table of clients with persistence is full"},
	{Overload, "a worker is slower than its queue"},
	{Stalled, "a worker or the control plane stands still; the service manager's watchdog will start the balancer anew"},
	{Checksums, "packets come with unfinished checksums"},
	{RPFilter, "a strict reverse path filter drops, or may drop, what the kernel is to have"},
	{Neighbours, "the kernel keeps too few neighbours for the backends on the link"},
	{IRQ, "interrupts of queues are in each other's way, or in a worker's"},
	{NUMA, "workers are on another NUMA node than the NIC"},
	{Firewall, "a rule of nftables is for a service's address, and XDP goes before it"},
	{Interface, "the kernel does not do with an interface what is asked for"},
	{API, "the control socket does not work"},
	{Listen, "page and metrics are not served"},
	{Announce, "a service's address is held by this machine; it is over when it has been taken away"},
	{AnnounceFailed, "a service's address can't be held"},
	{AddressConflict, "another machine says that it has a service's address"},
}

package metrics

import (
	"iter"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// Family is a metric, with all that it may be of.
type Family struct {
	Name, Help string
	Labels     []string // sorted
	Kind       Kind

	number int // among all
}

// Kind is what a metric's value means.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter" // since the balancer's start; it only grows
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// types are as the format has them.
var types = map[Kind]*dto.MetricType{
	Counter: dto.MetricType_COUNTER.Enum(), Gauge: dto.MetricType_GAUGE.Enum(), Histogram: dto.MetricType_HISTOGRAM.Enum(),
}

var families []*Family

// Families yields all metrics, in the order in which they are documented.
func Families() iter.Seq[*Family] { return slices.Values(families) }

func family(kind Kind, name, help string, labels ...string) *Family {
	slices.Sort(labels)
	f := &Family{Name: "afxlb_" + name, Help: help, Labels: labels, Kind: kind, number: len(families)}
	families = append(families, f)
	return f
}

// The balancer.
var (
	buildInfo   = family(Gauge, "build_info", "1, of the version that runs", "version")
	started     = family(Gauge, "start_time_seconds", "When the balancer was started, in seconds since 1970")
	state       = family(Gauge, "state", "1 for the state that the balancer is in, 0 for the others", "state")
	warnings    = family(Gauge, "warnings", "What is not as it should be now, by its code; afxlb status has the words", "code")
	generation  = family(Gauge, "config_generation", "Of the balancing table; it grows with each change")
	reloaded    = family(Gauge, "config_last_reload_successful", "0 if the last reload was refused, else 1")
	overrides   = family(Gauge, "overrides", "Backends that operators have changed at run time; afxlb status names them")
	needRestart = family(Gauge, "config_needs_restart", "Config keys that a reload found changed and could not apply")
)

// Packets.
var (
	received = family(Counter, "received_packets_total", "Taken from the RX rings; the sum of all packets_total", "queue")
	packets  = family(Counter, "packets_total", "Packets by what became of them: forward, reply (answered by the balancer itself), punt (given back to the kernel), drop", "queue", "verdict")
	drops    = family(Counter, "drop_packets_total", "Packets that were dropped, by reason; see afxlb counters", "reason")
	misses   = family(Counter, "slow_path_packets_total", "Packets that the worker's cache did not know the flow of", "queue")
	batches  = family(Counter, "batches_total", "Receives that brought something", "queue")
	sleeps   = family(Counter, "sleeps_total", "Times that the worker slept for want of packets", "queue")
	steering = family(Counter, "steering_packets_total", "What the steering program did with packets before the workers, by reason; see afxlb counters", "reason")
	finished = family(Counter, "checksums_completed_total", "Packets that came with an unfinished checksum and had it finished here")
	frames   = family(Gauge, "frames", "Packet buffers of a queue by whose they are: free, filled (to receive into), held, transmit", "queue", "state")
	latency  = family(Histogram, "processing_seconds", "How long packets took from the RX ring to the TX ring: those of one batch in 32, each as long as its batch")
)

// Interfaces and the kernel.
var (
	portUp       = family(Gauge, "interface_up", "1 if the interface is served", "interface")
	portReceived = family(Counter, "interface_received_packets_total", "Taken from the interface's RX rings", "interface")
	portSent     = family(Counter, "interface_sent_packets_total", "Put on the interface's TX rings", "interface")
	portCopied   = family(Counter, "interface_copied_packets_total", "Of those sent, from a copy, since the interface can't share frames with the one that they came by", "interface")
	kernel       = map[string]*Family{ // by the name of the counter
		"rx-dropped":      family(Counter, "xsk_rx_dropped_total", "Dropped by the kernel: longer than a frame takes, or no free frame"),
		"rx-ring-full":    family(Counter, "xsk_rx_ring_full_total", "Dropped by the kernel because a worker was slower than its queue"),
		"rx-pieces":       family(Counter, "xsk_rx_pieces_total", "Came in more than one frame and were refused"),
		"fill-ring-empty": family(Counter, "xsk_fill_ring_empty_total", "Times the kernel found no free frame"),
		"tx-invalid":      family(Counter, "xsk_tx_invalid_total", "Descriptors that the kernel refused; a defect if not 0"),
		"tx-dropped":      family(Counter, "xsk_tx_dropped_total", "Dropped by the interface after the kernel had taken them"),
		"tx-again":        family(Counter, "xsk_tx_again_total", "Times the kernel wanted a pause before it took more"),
	}
)

// The flow table.
var (
	flows       = family(Gauge, "flow_table_entries", "Flows that are remembered, by stage of life", "class")
	maxFlows    = family(Gauge, "flow_table_capacity", "Flows that there is room for")
	inserted    = family(Counter, "flow_table_inserted_total", "Flows that were begun to be remembered")
	expired     = family(Counter, "flow_table_expired_total", "Flows that were forgotten because they were idle")
	evicted     = family(Counter, "flow_table_evictions_total", "Flows that made way for others, since the table or the part for half-open ones was full", "reason")
	clashes     = family(Counter, "flow_table_clashes_total", "Flows refused because the backend's replies could not have been told apart")
	clients     = family(Gauge, "persistence_clients", "Clients that persistence remembers")
	maxClients  = family(Gauge, "persistence_capacity", "Clients that there is room for")
	snatTaken   = family(Gauge, "snat_ports_taken", "Source ports of full NAT in use towards a backend, and those that rest", "service", "backend")
	snatResting = family(Gauge, "snat_ports_resting", "Of the ports taken, those that were used lately and are not free yet", "service", "backend")
	snatTotal   = family(Gauge, "snat_ports", "Source ports of full NAT towards a backend", "service", "backend")
)

// Services and backends.
var (
	serviceUp       = family(Gauge, "service_up", "1 if some backend takes new flows: in a panic one that is down, too", "service")
	serviceHeld     = family(Gauge, "service_announced", "1 if this machine holds the service's address, as its announce says; none for services without", "service")
	serviceRival    = family(Gauge, "service_address_conflict", "1 if another machine says that it has the service's address", "service")
	serviceBackends = family(Gauge, "service_backends", "Backends by state", "service", "state")
	serviceFallback = family(Gauge, "service_fallback", "1 for what the service does for want of healthy backends, 0 for the others: backup (backup backends take new flows), panic (all do, healthy or not), down (nobody does)", "service", "fallback")
	serviceFull     = family(Counter, "full_connections_total", "Connections that could not begin, since every backend that they could have had max-conns connections")
	backendUp       = family(Gauge, "backend_up", "1 if the backend can serve, in rotation or not: in the states up and drain", "service", "backend")
	backendWeight   = family(Gauge, "backend_weight", "Its share of new flows; 0: none", "service", "backend")
	backendShare    = family(Gauge, "backend_share", "How much of what its weight gives it it gets of new flows: 0 out of rotation, less than 1 in a slow-start, 1 in a panic though it is down", "service", "backend")
	backendMax      = family(Gauge, "backend_connections_max", "Established connections that it may have (max-conns), of those backends that have a limit", "service", "backend")
	backendStanding = family(Gauge, "backend_connections_established", "Established connections now, of those backends that have a limit", "service", "backend")
	backendLive     = family(Gauge, "backend_connections_active", "Connections now", "service", "backend")
	backendFlows    = family(Counter, "backend_flows_total", "Flows assigned", "service", "backend")
	backendPackets  = family(Counter, "backend_packets_total", "Packets forwarded: in, to the backend, and out, its replies (of nat and fullnat)", "service", "backend", "direction")
	backendBytes    = family(Counter, "backend_bytes_total", "Bytes of these packets, as received", "service", "backend", "direction")
	probes          = family(Histogram, "probe_duration_seconds", "How long health checks took, by type of check and whether the answer was a good one", "check", "result")
)

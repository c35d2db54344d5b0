package balancer

import (
	"fmt"
	"strings"

	"github.com/afxlb/afxlb/internal/packet"
)

// Protocol is a service's transport protocol, by its IANA number. The zero
// value is not a protocol.
type Protocol uint8

// The protocols.
const (
	TCP Protocol = packet.ProtoTCP
	UDP Protocol = packet.ProtoUDP
)

// Mode says what is changed in a packet on its way to the backend. The zero
// value is NAT.
type Mode uint8

// The modes. What each means, and which are built, is in the table in mode.go.
const (
	NAT     Mode = iota // destination rewritten; replies return through the balancer
	FullNAT             // as NAT, and the source becomes an address of the balancer
	DSR                 // only the MACs change; the backend answers the client itself
	IPIP                // the packet inside IPv4 or IPv6; the backend answers the client itself
	GUE                 // the packet inside UDP; the backend answers the client itself
	GRE                 // the packet inside GRE; the backend answers the client itself
)

// Algorithm says which backend a new flow gets. The zero value is RoundRobin.
type Algorithm uint8

// The algorithms.
const (
	RoundRobin         Algorithm = iota // the next in turn
	WeightedRoundRobin                  // smooth weighted turn
	Weighted                            // random by weight
	LeastConn                           // fewest live connections for its weight
	TwoChoices                          // the less loaded of two that are random by weight
	SourceHash                          // by client address alone
	Maglev                              // consistent hash of the 5-tuple
)

// OnNoBackend says what a new flow gets when no backend is in rotation. The zero
// value is Reject.
type OnNoBackend uint8

// The answers when there is no backend.
const (
	Reject       OnNoBackend = iota // TCP reset or ICMP port unreachable
	DropSilently                    // nothing
)

// OnDown says what becomes of the flows of a backend that is down. The zero value
// is Reassign.
type OnDown uint8

// The fates of a dead backend's flows.
const (
	Reassign OnDown = iota // another backend gets the flow
	Keep                   // the flow stays where it is
	Reset                  // the client's next packet is answered by a TCP reset
)

// Affinity says what stays with one backend. The zero value is AffinityFlow.
type Affinity uint8

// What stays together.
const (
	AffinityFlow Affinity = iota // the packets of a flow
	AffinityNone                 // nothing: each datagram is balanced for itself. UDP only
)

// Announce says how the service's address gets to be the machine's. The zero value is
// AnnounceNone.
type Announce uint8

// The ways.
const (
	AnnounceNone  Announce = iota // somebody else sees to it
	AnnounceLocal                 // on a device of the balancer's own
	AnnounceARP                   // on a served interface, whose link is told
)

// BelowMinHealthy says what becomes of a service of which fewer backends are healthy than
// its min-healthy asks for. The zero value is Panic.
type BelowMinHealthy uint8

// What becomes of it.
const (
	Panic      BelowMinHealthy = iota // all backends get new flows, healthy or not
	JoinBackup                        // those that are backup join the healthy ones
	TakeDown                          // nobody gets new flows: clients get what OnNoBackend says
)

// HealthType says how a backend is probed. The zero value is HealthTCP.
type HealthType uint8

// The kinds of probe.
const (
	HealthTCP   HealthType = iota // a connection that opens
	HealthHTTP                    // a request that is answered as expected
	HealthHTTPS                   // the same over TLS
	HealthUDP                     // a datagram that is answered as expected
	HealthDNS                     // a question by UDP that is answered as expected
	HealthICMP                    // an echo request that is answered
	HealthNone                    // no probe: always up
)

// The names are those of the config file, each at its value's place.
var (
	protocolNames  = []string{TCP: "tcp", UDP: "udp"}
	modeNames      = []string{NAT: "nat", FullNAT: "fullnat", DSR: "dsr", IPIP: "ipip", GUE: "gue", GRE: "gre"}
	algorithmNames = []string{
		RoundRobin:         "round-robin",
		WeightedRoundRobin: "weighted-round-robin",
		Weighted:           "weighted",
		LeastConn:          "least-conn",
		TwoChoices:         "two-choices",
		SourceHash:         "source-hash",
		Maglev:             "maglev",
	}
	onNoBackendNames = []string{Reject: "reject", DropSilently: "drop"}
	affinityNames    = []string{AffinityFlow: "flow", AffinityNone: "none"}
	announceNames    = []string{AnnounceNone: "none", AnnounceLocal: "local", AnnounceARP: "arp"}
	belowMinNames    = []string{Panic: "panic", JoinBackup: "backup", TakeDown: "down"}
	onDownNames      = []string{Reassign: "reassign", Keep: "keep", Reset: "reset"}
	healthTypeNames  = []string{
		HealthTCP:   "tcp",
		HealthHTTP:  "http",
		HealthHTTPS: "https",
		HealthUDP:   "udp",
		HealthDNS:   "dns",
		HealthICMP:  "icmp",
		HealthNone:  "none",
	}
	stateNames = []string{StateUnknown: "unknown", StateUp: "up", StateDown: "down", StateSuspect: "suspect"}
)

// algorithmAliases are other load balancers' names: HAProxy's and Envoy's random,
// Envoy's and others' power of two choices.
var algorithmAliases = map[string]Algorithm{"random": Weighted, "p2c": TwoChoices}

// String returns the protocol's name in the config file.
func (p Protocol) String() string { return name(p, protocolNames) }

// String returns the mode's name in the config file.
func (m Mode) String() string { return name(m, modeNames) }

// String returns the algorithm's name in the config file.
func (a Algorithm) String() string { return name(a, algorithmNames) }

// Hashes reports whether a goes by the service's consistent hash, so that all balancers
// with the same Spec choose alike.
func (a Algorithm) Hashes() bool { return a == SourceHash || a == Maglev }

// String returns the value's name in the config file.
func (o OnNoBackend) String() string { return name(o, onNoBackendNames) }

// String returns the value's name in the config file.
func (o OnDown) String() string { return name(o, onDownNames) }

// String returns the value's name in the config file.
func (a Announce) String() string { return name(a, announceNames) }

// String returns the value's name in the config file.
func (b BelowMinHealthy) String() string { return name(b, belowMinNames) }

// String returns the value's name in the config file.
func (a Affinity) String() string { return name(a, affinityNames) }

// String returns the health type's name in the config file.
func (h HealthType) String() string { return name(h, healthTypeNames) }

// String returns unknown, up, down or suspect.
func (s State) String() string { return name(s, stateNames) }

// ParseProtocol reads tcp or udp. The error of this function and of its
// siblings is an [UnknownNameError].
func ParseProtocol(s string) (Protocol, error) { return parse[Protocol]("protocol", s, protocolNames) }

// ParseMode reads the name of a mode, also of one that this version can't do yet.
func ParseMode(s string) (Mode, error) { return parse[Mode]("mode", s, modeNames) }

// ParseAlgorithm reads the name of an algorithm, or an alias of it: random for
// weighted, p2c for two-choices.
func ParseAlgorithm(s string) (Algorithm, error) {
	if a, ok := algorithmAliases[s]; ok {
		return a, nil
	}
	return parse[Algorithm]("algorithm", s, algorithmNames)
}

// ParseOnNoBackend reads reject or drop.
func ParseOnNoBackend(s string) (OnNoBackend, error) {
	return parse[OnNoBackend]("on-no-backend", s, onNoBackendNames)
}

// ParseOnDown reads reassign, keep or reset.
func ParseOnDown(s string) (OnDown, error) { return parse[OnDown]("on-down", s, onDownNames) }

// ParseAnnounce reads none, local or arp.
func ParseAnnounce(s string) (Announce, error) {
	return parse[Announce]("way to announce", s, announceNames)
}

// ParseBelowMinHealthy reads panic, backup or down.
func ParseBelowMinHealthy(s string) (BelowMinHealthy, error) {
	return parse[BelowMinHealthy]("below-min-healthy", s, belowMinNames)
}

// ParseAffinity reads flow or none.
func ParseAffinity(s string) (Affinity, error) { return parse[Affinity]("affinity", s, affinityNames) }

// ParseHealthType reads the name of a health type.
func ParseHealthType(s string) (HealthType, error) {
	return parse[HealthType]("health type", s, healthTypeNames)
}

// UnknownNameError says that a word is none of the known names.
type UnknownNameError struct {
	What  string   // what was to be named, as in "algorithm"
	Name  string   // the word that was found
	Known []string // the words that would be right
}

func (e *UnknownNameError) Error() string {
	last := len(e.Known) - 1
	return fmt.Sprintf("unknown %s %q; want %s or %s", e.What, e.Name, strings.Join(e.Known[:last], ", "), e.Known[last])
}

func name[T ~uint8](v T, names []string) string {
	if int(v) >= len(names) || names[v] == "" {
		return fmt.Sprintf("unknown(%d)", v)
	}
	return names[v]
}

func parse[T ~uint8](what, s string, names []string) (T, error) {
	var known []string
	for i, n := range names {
		if n == "" {
			continue // a number between two protocols
		}
		if n == s {
			return T(i), nil
		}
		known = append(known, n)
	}
	return 0, &UnknownNameError{What: what, Name: s, Known: known}
}

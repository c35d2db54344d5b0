package balancer

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// HealthSpec says how the backends of a service are probed, and how many answers
// it takes to believe a change. All but Type is without meaning for HealthNone.
type HealthSpec struct {
	Type     HealthType
	Port     uint16 // 0: the port that traffic goes to; HealthICMP has none
	Interval time.Duration
	// FastInterval is the interval while a backend's answers are in doubt, see
	// [Health.Doubtful]; 0: Interval.
	FastInterval time.Duration
	Timeout      time.Duration // at most Interval
	Rise         int           // consecutive good answers that bring a backend back up
	Fall         int           // consecutive bad answers that take it down

	// ViaTunnel has backends asked as clients ask them: at the service's address, through
	// the tunnel. Modes that encapsulate only.
	ViaTunnel bool
	// Sources are where probes come from, at most one address of each family; of one without
	// the kernel chooses.
	Sources []netip.Addr

	// HealthHTTP and HealthHTTPS.

	Path   string        // starts with a slash; empty: /
	Host   string        // Host header, and the name that the certificate is of; empty: the backend's address
	Expect []StatusRange // status codes that are good; empty: 200 to 399
	Body   string        // what the answer's body must contain; empty: anything

	// HealthHTTPS.

	CA       string // file with the certificates of those who sign backends'; empty: the machine's
	Insecure bool   // any certificate is believed

	// HealthUDP. Both are bytes.

	Send    string // the datagram
	Receive string // what the answer must contain; empty: silence is good too

	// HealthDNS.

	Name   string    // to ask for
	Query  QueryType // of records
	Rcodes Rcodes    // that are good; 0: noerror
	Answer string    // what a record of the answer must say; empty: anything, or nothing
}

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct {
	First, Last int
}

// SourceTo returns where probes of an address come from; invalid: the kernel chooses.
func (h *HealthSpec) SourceTo(a netip.Addr) netip.Addr {
	for _, s := range h.Sources {
		if s.Is4() == a.Is4() {
			return s
		}
	}
	return netip.Addr{}
}

// Asks reports whether probes go to a port.
func (h HealthType) Asks() bool { return h != HealthICMP && h != HealthNone }

// OpensTCP reports whether probes open a connection of TCP.
func (h HealthType) OpensTCP() bool { return h == HealthTCP || h == HealthHTTP || h == HealthHTTPS }

// HealthOption is a key of health that only some types have.
type HealthOption struct {
	Key   string
	Types []HealthType
	Given func(*HealthSpec) bool
	Drop  func(*HealthSpec)
}

// HealthOptions are all of these. Expect stands for two things.
var HealthOptions = []HealthOption{
	option("port", func(h *HealthSpec) *uint16 { return &h.Port }, HealthTCP, HealthHTTP, HealthHTTPS, HealthUDP, HealthDNS),
	option("path", func(h *HealthSpec) *string { return &h.Path }, HealthHTTP, HealthHTTPS),
	option("host", func(h *HealthSpec) *string { return &h.Host }, HealthHTTP, HealthHTTPS),
	{
		"expect", []HealthType{HealthHTTP, HealthHTTPS},
		func(h *HealthSpec) bool { return len(h.Expect) > 0 }, func(h *HealthSpec) { h.Expect = nil },
	},
	option("expect", func(h *HealthSpec) *string { return &h.Receive }, HealthUDP),
	option("body", func(h *HealthSpec) *string { return &h.Body }, HealthHTTP, HealthHTTPS),
	option("ca", func(h *HealthSpec) *string { return &h.CA }, HealthHTTPS),
	option("insecure", func(h *HealthSpec) *bool { return &h.Insecure }, HealthHTTPS),
	option("send", func(h *HealthSpec) *string { return &h.Send }, HealthUDP),
	option("name", func(h *HealthSpec) *string { return &h.Name }, HealthDNS),
	option("query", func(h *HealthSpec) *QueryType { return &h.Query }, HealthDNS),
	option("rcode", func(h *HealthSpec) *Rcodes { return &h.Rcodes }, HealthDNS),
	option("answer", func(h *HealthSpec) *string { return &h.Answer }, HealthDNS),
}

func option[T comparable](key string, field func(*HealthSpec) *T, types ...HealthType) HealthOption {
	var zero T
	return HealthOption{key, types, func(h *HealthSpec) bool { return *field(h) != zero }, func(h *HealthSpec) { *field(h) = zero }}
}

// Fits reports whether checks of the type have the key.
func (o *HealthOption) Fits(t HealthType) bool { return slices.Contains(o.Types, t) }

// QueryType is a type of DNS records, by its IANA number; those that are known here fit. The
// zero value asks for A.
type QueryType uint8

// The types that are looked into in some way of their own.
const (
	QueryA    QueryType = 1
	QuerySOA  QueryType = 6
	QueryTXT  QueryType = 16
	QueryAAAA QueryType = 28
)

// Rcodes is a set of response codes of DNS, those of its header alone: bit i is code i.
type Rcodes uint16

// The names, each at its number (RFC 1035, RFC 3596, RFC 2782; RFC 1035 and RFC 2136 for codes).
var (
	queryNames = []string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV"}
	rcodeNames = []string{"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain", "yxrrset", "nxrrset", "notauth", "notzone"}
)

// String returns the type's name.
func (q QueryType) String() string { return name(max(q, QueryA), queryNames) }

// ParseQueryType reads the name of a type of records.
func ParseQueryType(s string) (QueryType, error) {
	return parse[QueryType]("query", strings.ToUpper(s), queryNames)
}

// ParseRcode reads the name of a response code, as the set of it.
func ParseRcode(s string) (Rcodes, error) {
	n, err := parse[uint8]("response code", s, rcodeNames)
	return 1 << n, err
}

// Has reports whether a code is in the set.
func (r Rcodes) Has(code uint8) bool { return max(r, 1)>>code&1 != 0 }

// String lists the names.
func (r Rcodes) String() string {
	var names []string
	for i := range uint8(16) {
		if r.Has(i) {
			names = append(names, RcodeName(i))
		}
	}
	return strings.Join(names, ", ")
}

// RcodeName returns the name of a response code.
func RcodeName(code uint8) string { return name(code, rcodeNames) }

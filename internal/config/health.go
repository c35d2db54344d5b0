package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

var healthKeys = keys[balancer.HealthSpec]{
	{
		name: "type", unset: "tcp for TCP services whose port to ask is known, else none",
		form:  into(func(h *balancer.HealthSpec) *balancer.HealthType { return &h.Type }, choice(balancer.ParseHealthType, nil, nil)),
		about: "tcp opens a connection, http and https want an answer to a request, udp one to a datagram, dns one to a question, icmp an echo; none, which takes no other key, believes that all is well",
	},
	{
		name: "port", unset: "the backend's", form: into(func(h *balancer.HealthSpec) *uint16 { return &h.Port }, portNumber),
		about: "the port to ask; icmp has none",
	},
	{
		name: "interval", unset: "5s", form: into(func(h *balancer.HealthSpec) *time.Duration { return &h.Interval }, period),
		about: "from one question to the next",
	},
	{
		name: "fast-interval", unset: "the interval", form: into(func(h *balancer.HealthSpec) *time.Duration { return &h.FastInterval }, period),
		about: "the same while a backend's answers are on the way from good to bad, or back, and rise or fall is not reached",
	},
	{
		name: "timeout", unset: "2s, or the interval if that is shorter", form: into(func(h *balancer.HealthSpec) *time.Duration { return &h.Timeout }, period),
		about: "how long to wait for the answer; at most the interval",
	},
	{
		name: "rise", unset: "2", form: into(func(h *balancer.HealthSpec) *int { return &h.Rise }, number[int](1, 1000)),
		about: "good answers in a row that bring a backend back",
	},
	{
		name: "fall", unset: "3", form: into(func(h *balancer.HealthSpec) *int { return &h.Fall }, number[int](1, 1000)),
		about: "bad answers in a row that take it out",
	},
	{
		name: "source", unset: "chosen by the kernel", form: into(func(h *balancer.HealthSpec) *[]netip.Addr { return &h.Sources }, oneOr(address)),
		about: "the machine's own address that checks come from, one of each family",
	},
	{
		name: "path", unset: "/", form: into(func(h *balancer.HealthSpec) *string { return &h.Path }, text),
		about: "http, https: the path of the request",
	},
	{
		name: "host", unset: "the backend's address", form: into(func(h *balancer.HealthSpec) *string { return &h.Host }, text),
		about: "http, https: the Host header; https: the server's name (SNI), which its certificate must be of",
	},
	{
		name: "expect", unset: "200-399, of udp silence too", form: expectation,
		about: "http, https: good status codes; udp: what the answer must contain, as send writes it",
	},
	{
		name: "body", unset: "anything", form: into(func(h *balancer.HealthSpec) *string { return &h.Body }, text),
		about: "http, https: text that the answer's body must contain",
	},
	{
		name: "ca", unset: "the machine's", form: into(func(h *balancer.HealthSpec) *string { return &h.CA }, text),
		about: "https: a file of certificates, of those who may have signed the backend's; it is read again when it changes",
	},
	{
		name: "insecure", unset: "false", form: into(func(h *balancer.HealthSpec) *bool { return &h.Insecure }, either(parseBool, "true or false", false, true)),
		about: "https: any certificate is good",
	},
	{
		name: "send", unset: "an empty datagram", form: into(func(h *balancer.HealthSpec) *string { return &h.Send }, octets),
		about: "udp: what to send: text, or bytes as hex:00ff or base64:AP8=",
	},
	{
		name: "name", form: into(func(h *balancer.HealthSpec) *string { return &h.Name }, text),
		about: "dns, which must have it: the name to ask for",
	},
	{
		name: "query", unset: "A", form: into(func(h *balancer.HealthSpec) *balancer.QueryType { return &h.Query }, queryType),
		about: "dns: the type of records to ask for",
	},
	{
		name: "rcode", unset: "noerror", form: form[balancer.HealthSpec]{read: readRcodes, diff: partly(func(h *balancer.HealthSpec) *balancer.Rcodes { return &h.Rcodes }, whole(show[balancer.Rcodes])), looks: rcodeList.looks},
		about: "dns: good response codes",
	},
	{
		name: "answer", unset: "anything, or nothing", form: into(func(h *balancer.HealthSpec) *string { return &h.Answer }, text),
		about: "dns: the address, name or text that one of the answer's records must have",
	},
	{
		name: "via", unset: "direct", form: into(func(h *balancer.HealthSpec) *bool { return &h.ViaTunnel }, choice(parseVia, nil, nil).shown(showVia)),
		about: "modes with tunnels: tunnel asks as clients do, at the service's address through the tunnel",
	},
}

var (
	period      = duration(10*time.Millisecond, 24*time.Hour)
	statusRange = single("an HTTP status as in 200 or a range as in 200-399", `^[0-9]{3}\s*(-\s*[0-9]{3}\s*)?$`, parseStatus).bare(100, 599)
)

// defaultHealth is what a health check is that says nothing.
func defaultHealth() balancer.HealthSpec {
	return balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 5 * time.Second, Rise: 2, Fall: 3}
}

// health reads a service's health check, over that of the defaults, if there is one.
func health(v value, h *balancer.HealthSpec) {
	if h.Interval == 0 {
		*h = defaultHealth()
	}
	if !mapping(v, h, healthKeys) || h.Type != balancer.HealthNone {
		return
	}
	for _, key := range healthKeys {
		if k, _ := entry(v.node, key.name); k != nil && key.name != "type" {
			v.report(k, "health type none sends no probe; want another type, or no %s", key.name)
		}
	}
	*h = defaultHealth() // of what is told above the balancer need not tell again
	h.Type = balancer.HealthNone
}

// completeHealth fills in what depends on the rest of the service.
func completeHealth(s *balancer.ServiceSpec) {
	h := &s.Health
	if h.Interval == 0 { // the file says nothing of health
		*h = defaultHealth()
		if s.Protocol != balancer.TCP || !probeable(s) {
			h.Type = balancer.HealthNone
		}
	}
	if h.Timeout == 0 {
		h.Timeout = min(2*time.Second, h.Interval)
	}
	if h.Path == "" && (h.Type == balancer.HealthHTTP || h.Type == balancer.HealthHTTPS) {
		h.Path = "/"
	}
	if h.Type == balancer.HealthDNS {
		h.Query, h.Rcodes = max(h.Query, balancer.QueryA), max(h.Rcodes, 1)
	}
}

// probeable reports whether it is known which port of each backend to ask.
func probeable(s *balancer.ServiceSpec) bool {
	return !slices.ContainsFunc(s.Backends, func(b balancer.BackendSpec) bool { return s.Probe(&b).Port() == 0 })
}

func parseStatus(s string) (balancer.StatusRange, error) {
	first, last, ok := cutRange(s, 599)
	if !ok || first < 100 {
		return balancer.StatusRange{}, fmt.Errorf("%q is not an HTTP status; want one as in 200 or a range as in 200-399", s)
	}
	return balancer.StatusRange{First: first, Last: last}, nil
}

package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

var healthKeys = keys[balancer.HealthSpec]{
	{
		name: "type", unset: "tcp for TCP services whose port to ask is known, else none",
		form:  into(func(h *balancer.HealthSpec) *balancer.HealthType { return &h.Type }, choice(balancer.ParseHealthType, unbuiltHealth, nil)),
		about: "tcp opens a connection, http wants an answer; none, which takes no other key, believes that all is well",
	},
	{
		name: "port", unset: "the backend's", form: into(func(h *balancer.HealthSpec) *uint16 { return &h.Port }, portNumber),
		about: "the port to ask",
	},
	{
		name: "interval", unset: "5s", form: into(func(h *balancer.HealthSpec) *time.Duration { return &h.Interval }, period),
		about: "from one question to the next",
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
		name: "path", unset: "/", form: into(func(h *balancer.HealthSpec) *string { return &h.Path }, text),
		about: "http: the path of the request",
	},
	{
		name: "host", unset: "the backend's address", form: into(func(h *balancer.HealthSpec) *string { return &h.Host }, text),
		about: "http: the Host header",
	},
	{
		name: "expect", unset: "200-399", form: into(func(h *balancer.HealthSpec) *[]balancer.StatusRange { return &h.Expect }, oneOr(statusRange)),
		about: "http: good status codes",
	},
	{
		name: "body", unset: "anything", form: into(func(h *balancer.HealthSpec) *string { return &h.Body }, text),
		about: "http: text that the answer's body must contain",
	},
	{
		name: "via", unset: "direct", form: into(func(h *balancer.HealthSpec) *bool { return &h.ViaTunnel }, choice(parseVia, nil, nil).shown(showVia)),
		about: "modes with tunnels: tunnel asks as clients do, at the service's address through the tunnel",
	},
}

// unbuiltHealth are the health types that this version knows and does not have.
var unbuiltHealth = []string{"https", "udp", "icmp"}

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
	if h.Type == balancer.HealthHTTP && h.Path == "" {
		h.Path = "/"
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

package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

var healthKeys = keys[balancer.HealthSpec]{
	{name: "type", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Type, balancer.ParseHealthType) }},
	{name: "port", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Port, parsePort) }},
	{name: "interval", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Interval, parsePeriod) }},
	{name: "timeout", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Timeout, parsePeriod) }},
	{name: "rise", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Rise, parseCount) }},
	{name: "fall", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Fall, parseCount) }},
	{name: "path", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Path, parseText) }},
	{name: "host", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Host, parseText) }},
	{name: "body", read: func(v value, h *balancer.HealthSpec) { set(v, &h.Body, parseText) }},
	{name: "expect", read: func(v value, h *balancer.HealthSpec) { h.Expect = expect(v) }},
	{name: "via", read: func(v value, h *balancer.HealthSpec) { set(v, &h.ViaTunnel, parseVia) }},
	{name: "send", read: func(value, *balancer.HealthSpec) {}}, // health says what of it
}

var (
	parsePeriod = duration(10*time.Millisecond, 24*time.Hour)
	parseCount  = number[int](1, 1000)
)

// defaultHealth is what a health check is that says nothing.
func defaultHealth() balancer.HealthSpec {
	return balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 5 * time.Second, Rise: 2, Fall: 3}
}

// health reads a service's health check.
func health(v value, h *balancer.HealthSpec) {
	*h = defaultHealth()
	if !mapping(v, h, healthKeys) {
		return
	}
	if h.Type != balancer.HealthNone {
		if k, _ := entry(v.node, "send"); k != nil {
			v.report(k, "is for health type udp, which is not supported yet; remove it")
		}
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
		if !probeable(s) {
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

// probeable reports whether a TCP connection to each backend of the service can
// tell anything.
func probeable(s *balancer.ServiceSpec) bool {
	for i := range s.Backends {
		if s.Probe(&s.Backends[i]).Port() == 0 {
			return false
		}
	}
	return s.Protocol == balancer.TCP
}

// expect reads one status range or a list of them.
func expect(v value) []balancer.StatusRange {
	one := func(v value, r *balancer.StatusRange) { set(v, r, parseStatus) }
	if v.node.Kind == yaml.SequenceNode {
		return sequence(v, one)
	}
	var r balancer.StatusRange
	one(v, &r)
	return []balancer.StatusRange{r}
}

func parseStatus(s string) (balancer.StatusRange, error) {
	first, last, ok := cutRange(s, 599)
	if !ok || first < 100 {
		return balancer.StatusRange{}, fmt.Errorf("%q is not an HTTP status; want one as in 200 or a range as in 200-399", s)
	}
	return balancer.StatusRange{First: first, Last: last}, nil
}

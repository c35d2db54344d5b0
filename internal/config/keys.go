package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// The keys of everything but the services. A key that is added here needs a
// field of [Config], and that field a place in [Config.NeedsRestart], unless a
// reload applies it.
var (
	topKeys = keys[Config]{
		{name: "interface", read: oneInterface},
		{name: "interfaces", read: interfaces},
		{name: "queues", read: func(v value, c *Config) { set(v, &c.Queues, ParseQueues) }},
		{name: "cpus", read: func(v value, c *Config) { set(v, &c.CPUs, ParseCPUs) }},
		{name: "xdp-mode", read: func(v value, c *Config) { set(v, &c.XDPMode, ParseXDPMode) }},
		{name: "driver", read: func(v value, c *Config) { set(v, &c.Driver, ParseDriver) }},
		{name: "poll", read: func(v value, c *Config) { set(v, &c.Poll, ParsePoll) }},
		{name: "listen", read: func(v value, c *Config) { set(v, &c.Listen, ParseListen) }},
		{name: "log", read: func(v value, c *Config) { mapping(v, &c.Log, logKeys) }},
		{name: "conntrack", read: func(v value, c *Config) { mapping(v, &c.Conntrack, conntrackKeys) }},
		{name: "neighbours", read: func(v value, c *Config) { c.Spec.Neighbours = neighbours(v) }},
		{
			name: "services", required: "a list of services, [] for none",
			read: func(v value, c *Config) { c.Spec.Services = sequence(v, service) },
		},
	}
	logKeys = keys[Log]{
		{name: "level", read: func(v value, l *Log) { set(v, &l.Level, parseLogLevel) }},
		{name: "format", read: func(v value, l *Log) { set(v, &l.Format, parseLogFormat) }},
	}
	conntrackKeys = keys[Conntrack]{
		{name: "max-flows", read: func(v value, c *Conntrack) { set(v, &c.MaxFlows, number[int](1, 100_000_000)) }},
		{name: "timeouts", read: func(v value, c *Conntrack) { mapping(v, &c.Timeouts, timeoutKeys) }},
	}
	timeoutKeys = keys[Timeouts]{
		{name: "tcp-syn", read: func(v value, t *Timeouts) { set(v, &t.TCPSyn, parseIdle) }},
		{name: "tcp-established", read: func(v value, t *Timeouts) { set(v, &t.TCPEstablished, parseIdle) }},
		{name: "tcp-fin-wait", read: func(v value, t *Timeouts) { set(v, &t.TCPFinWait, parseIdle) }},
		{name: "tcp-closing", read: func(v value, t *Timeouts) { set(v, &t.TCPClosing, parseIdle) }},
		{name: "udp-new", read: func(v value, t *Timeouts) { set(v, &t.UDPNew, parseIdle) }},
		{name: "udp-established", read: func(v value, t *Timeouts) { set(v, &t.UDPEstablished, parseIdle) }},
		{name: "icmp", read: func(v value, t *Timeouts) { set(v, &t.ICMP, parseIdle) }},
	}
)

var parseIdle = duration(100*time.Millisecond, 30*24*time.Hour)

// ParseListen checks an address to listen on: an IP address, localhost or nothing,
// and a port.
func ParseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not an address to listen on; want address:port, as in 127.0.0.1:9190 or [::1]:9190", s)
	}
	return s, nil
}

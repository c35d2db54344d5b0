package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// The keys of everything but the services. A key that is added here needs a
// field of [Config], and says whether a reload applies it.
var (
	topKeys = keys[Config]{
		{
			name: "interface", restart: true, unset: "that of --interface", form: form[Config]{read: oneInterface, diff: partly(func(c *Config) *InterfaceList { return &c.Interfaces }, whole(show[InterfaceList])), looks: interfaceName.looks},
			about: "the interface to serve; of a bond, the slaves that it has at any time are served",
		},
		{
			name: "interfaces", restart: true, form: form[Config]{read: interfaces, looks: listOf(interfaceName).looks},
			about: "instead of interface: several, between which packets cross",
		},
		{
			name: "queues", restart: true, unset: "all", form: into(func(c *Config) *QueueList { return &c.Queues }, queueList),
			about: "the RX queues to serve, of each interface; each has a worker",
		},
		{
			name: "cpus", restart: true, unset: "the last ones of those that the process may use", form: into(func(c *Config) *CPUList { return &c.CPUs }, cpuList),
			about: "the worker of the i-th queue runs on the i-th of these CPUs",
		},
		{
			name: "xdp-mode", restart: true, unset: "auto", form: into(func(c *Config) *XDPMode { return &c.XDPMode }, choice(ParseXDPMode, nil, nil)),
			about: "how packets get from the driver to the workers; auto takes the best that works, and says which",
		},
		{
			name: "driver", restart: true, unset: "native", form: into(func(c *Config) *Driver { return &c.Driver }, choice(ParseDriver, nil, nil)),
			about: "which code sets up the sockets",
		},
		{
			name: "frame-size", restart: true, unset: "the smallest that takes the MTU", form: into(func(c *Config) *FrameSize { return &c.FrameSize }, frameSize),
			about: "bytes of a packet buffer; a longer packet takes several, where kernel and driver have that",
		},
		{
			name: "poll", restart: true, unset: "adaptive", form: into(func(c *Config) *Poll { return &c.Poll }, choice(ParsePoll, nil, nil)),
			about: "what a worker does without packets: adaptive sleeps, busy never does",
		},
		{
			name: "listen", restart: true, unset: "127.0.0.1:9190", form: into(func(c *Config) *string { return &c.Listen }, listenAddress),
			about: "where the web page and metrics are served, to whoever comes, without credentials",
		},
		{
			name: "state-file", restart: true, unset: "/var/lib/afxlb/state.json", form: into(func(c *Config) *string { return &c.StateFile }, stateFile),
			about: "where changes that operators make at run time are kept over a restart; none: nowhere. Each balancer of a machine has its own",
		},
		{
			name: "api", form: into(func(c *Config) *API { return &c.API }, block(apiKeys, nil)),
			about: "the control API for other machines, by TLS; without it there is the control socket alone",
		},
		{
			name: "log", form: into(func(c *Config) *Log { return &c.Log }, block(logKeys, nil)),
			about: "what is logged",
		},
		{
			name: "conntrack", form: into(func(c *Config) *Conntrack { return &c.Conntrack }, block(conntrackKeys, nil)),
			about: "bounds of the flow table",
		},
		{
			name: "neighbours", form: form[Config]{read: func(v value, c *Config) { c.Spec.Neighbours = neighbours(v) }, diff: diffNeighbours, looks: neighbourLooks},
			about: "next hops that are known beforehand: addresses with the MAC address where they are",
		},
		{ // before services, which read it
			name: "defaults", form: form[Config]{read: defaults, looks: block(defaultKeys, nil).looks},
			about: "what services are that do not say themselves",
		},
		{
			name: "services", required: "a list of services, [] for none",
			form:  into(func(c *Config) *[]balancer.ServiceSpec { return &c.Spec.Services }, listOf(block(serviceKeys, service))),
			about: "what is balanced",
		},
	}
	apiKeys = keys[API]{
		{
			name: "listen", restart: true, required: "an address and a port", form: into(func(a *API) *string { return &a.Listen }, listenAddress),
			about: "where it is served",
		},
		{
			name: "cert", restart: true, required: "a file with a certificate in PEM", form: into(func(a *API) *string { return &a.Cert }, absolutePath),
			about: "the balancer's certificate, with those up to its root, in PEM",
		},
		{
			name: "key", restart: true, required: "a file with its key in PEM", form: into(func(a *API) *string { return &a.Key }, absolutePath),
			about: "its key, in PEM",
		},
		{
			name: "client-ca", restart: true, required: "a file with the certificate of who signs those of clients: there is no access without one",
			form:  into(func(a *API) *string { return &a.ClientCA }, absolutePath),
			about: "the certificate of who signs clients' certificates, in PEM",
		},
	}
	logKeys = keys[Log]{
		{
			name: "level", unset: "info", form: into(func(l *Log) *string { return &l.Level }, choice(parseLogLevel, nil, nil)),
			about: "the least that is worth a line",
		},
		{
			name: "format", restart: true, unset: "console", form: into(func(l *Log) *string { return &l.Format }, choice(parseLogFormat, nil, nil)),
			about: "console is for people, json for machines",
		},
	}
	conntrackKeys = keys[Conntrack]{
		{
			name: "max-flows", restart: true, unset: "1000000", form: into(func(c *Conntrack) *int { return &c.MaxFlows }, number[int](1, 100_000_000)),
			about: "how many flows there can be at once; at 170 bytes each",
		},
		{
			name: "timeouts", form: into(func(c *Conntrack) *Timeouts { return &c.Timeouts }, block(timeoutKeys, nil)),
			about: "how long a flow may be idle",
		},
	}
	timeoutKeys = keys[Timeouts]{
		{name: "tcp-syn", unset: "10s", form: into(func(t *Timeouts) *time.Duration { return &t.TCPSyn }, idle), about: "before the handshake is over"},
		{name: "tcp-established", unset: "15m", form: into(func(t *Timeouts) *time.Duration { return &t.TCPEstablished }, idle), about: "of an open connection"},
		{name: "tcp-fin-wait", unset: "2m", form: into(func(t *Timeouts) *time.Duration { return &t.TCPFinWait }, idle), about: "where replies are not seen, as with dsr: after the client's FIN"},
		{name: "tcp-closing", unset: "10s", form: into(func(t *Timeouts) *time.Duration { return &t.TCPClosing }, idle), about: "after both ends' FIN, or a RST"},
		{name: "udp-new", unset: "30s", form: into(func(t *Timeouts) *time.Duration { return &t.UDPNew }, idle), about: "before there is an answer"},
		{name: "udp-established", unset: "2m", form: into(func(t *Timeouts) *time.Duration { return &t.UDPEstablished }, idle), about: "after one"},
		{name: "icmp", unset: "10s", form: into(func(t *Timeouts) *time.Duration { return &t.ICMP }, idle), about: "of an echo request's"},
	}
)

var (
	idle          = duration(100*time.Millisecond, 30*24*time.Hour)
	queueList     = single(`queues as in 0-3, "0,2,5-7" or all`, `^\s*(all|[0-9, -]+)\s*$`, ParseQueues).bare(0, maxIndex)
	cpuList       = single(`CPUs as in 2-5 or "4,2,8-9"`, `^[0-9, -]+$`, ParseCPUs).bare(0, maxIndex)
	frameSize     = single("2048 or 4096", "", ParseFrameSize).values(2048, 4096, "2048", "4096").orNone()
	interfaceName = single("an interface's name", `^[^/:,\s]{1,15}$`, parseInterface)
	absolutePath  = single("the absolute path of a file", `^/`, parseFile)
	stateFile     = single("the absolute path of a file, or none", `^(/|none$)`, ParseStateFile)
	listenAddress = single("address:port", `:[0-9]{1,5}$`, ParseListen)
)

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

// NoStateFile is the state file of who wants none.
const NoStateFile = "none"

// ParseStateFile checks the path of a state file.
func ParseStateFile(s string) (string, error) {
	if s == NoStateFile {
		return s, nil
	}
	return parseFile(s)
}

// parseFile checks the path of a file. Where a daemon runs is not where its config is, so
// it has to be absolute.
func parseFile(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", fmt.Errorf("%q is no absolute path; want one, such as /etc/afxlb/%s", s, filepath.Base(s))
	}
	return s, nil
}

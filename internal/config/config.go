package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/afxlb/afxlb/balancer"
)

// Config is one file's content, with defaults for what the file leaves out.
type Config struct {
	Interface string   // empty: left to the command line
	Queues    QueueSet // empty: all that the interface has
	CPUs      CPUList  // empty: the engine chooses
	XDPMode   XDPMode
	Driver    Driver
	Poll      Poll
	// Listen is where metrics and the web page will be served, host:port. It is
	// checked, but nothing serves it in this version.
	Listen    string
	Log       Log
	Conntrack Conntrack
	Spec      balancer.Spec
}

// Log says what the daemon logs and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // console or json
}

// Conntrack bounds the flow table.
type Conntrack struct {
	MaxFlows int
	Timeouts Timeouts
}

// Timeouts says how long a flow may be idle, by its stage of life.
type Timeouts struct {
	TCPSyn, TCPEstablished, TCPClosing time.Duration
	UDPNew, UDPEstablished             time.Duration
	ICMP                               time.Duration
}

// Default returns the Config of a file that says nothing.
func Default() *Config {
	return &Config{
		XDPMode: XDPAuto,
		Driver:  DriverNative,
		Poll:    PollAdaptive,
		Listen:  "127.0.0.1:9190",
		Log:     Log{Level: "info", Format: "console"},
		Conntrack: Conntrack{
			MaxFlows: 1_000_000,
			Timeouts: Timeouts{
				TCPSyn: 10 * time.Second, TCPEstablished: 15 * time.Minute, TCPClosing: 10 * time.Second,
				UDPNew: 30 * time.Second, UDPEstablished: 2 * time.Minute,
				ICMP: 10 * time.Second,
			},
		},
	}
}

// Load reads and parses the file at path. Errors are as of [Parse], or those of
// os.ReadFile.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err // names the operation and the path already
	}
	return Parse(path, data)
}

// Parse parses data; name stands for the file in messages. Its error is a
// [*SyntaxError] or [Problems].
func Parse(name string, data []byte) (*Config, error) {
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	f := &file{name: name, anchors: map[string]ast.Node{}, lines: map[string]int{"": 1}}
	body, ok := f.body(tree)
	if !ok {
		return nil, f.sorted()
	}
	c := Default()
	root := value{file: f, node: body}
	if root.mapping(c.keys()) {
		root.require("services", "a list of services, [] for none")
	}
	if root.has("interface") && root.has("interfaces") {
		f.add(f.lines["interfaces"], "interfaces", fmt.Sprintf("interface is given too (line %d); keep one of the two", f.lines["interface"]))
	}
	f.checkSpec(&c.Spec)
	if err := f.sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

// keys are the file's top-level keys.
func (c *Config) keys() keys {
	return keys{
		"interface":  to(&c.Interface, parseInterface),
		"interfaces": c.interfaces,
		"queues":     to(&c.Queues, ParseQueues),
		"cpus":       to(&c.CPUs, ParseCPUs),
		"xdp-mode":   to(&c.XDPMode, ParseXDPMode),
		"driver":     to(&c.Driver, ParseDriver),
		"poll":       to(&c.Poll, ParsePoll),
		"listen":     to(&c.Listen, ParseListen),
		"log": within(keys{
			"level":  to(&c.Log.Level, parseLogLevel),
			"format": to(&c.Log.Format, parseLogFormat),
		}),
		"conntrack": within(keys{
			"max-flows": to(&c.Conntrack.MaxFlows, number[int](1, 100_000_000)),
			"timeouts":  within(c.Conntrack.Timeouts.keys()),
		}),
		"services": func(v value) { c.Spec.Services = services(v) },
	}
}

func (t *Timeouts) keys() keys {
	idle := duration(100*time.Millisecond, 30*24*time.Hour)
	return keys{
		"tcp-syn":         to(&t.TCPSyn, idle),
		"tcp-established": to(&t.TCPEstablished, idle),
		"tcp-closing":     to(&t.TCPClosing, idle),
		"udp-new":         to(&t.UDPNew, idle),
		"udp-established": to(&t.UDPEstablished, idle),
		"icmp":            to(&t.ICMP, idle),
	}
}

// interfaces accepts the list form with one element.
func (c *Config) interfaces(v value) {
	first := true
	v.sequence(func(v value, ok bool) {
		switch {
		case !first:
			v.problem("more than one interface is not supported yet; name one")
		case ok:
			set(v, &c.Interface, parseInterface)
		}
		first = false
	})
}

// parseInterface holds a name against the kernel's rules (dev_valid_name in
// net/core/dev.c).
func parseInterface(s string) (string, error) {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r") {
		return "", fmt.Errorf("%q is no interface name; want up to 15 letters without blanks, slashes or colons, as in eth0", s)
	}
	return s, nil
}

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

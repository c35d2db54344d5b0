package config

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// Config is one file's content, with defaults for what the file leaves out. What
// of it a reload can apply, and what needs a restart, is for [Config.Changes]
// to say.
type Config struct {
	Interfaces InterfaceList // empty: left to the command line
	Queues     QueueList     // of each; empty: all that it has
	CPUs       CPUList       // empty: the engine chooses
	XDPMode    XDPMode
	Driver     Driver
	FrameSize  FrameSize
	Poll       Poll
	// StateFile is where changes at run time are kept over a restart; [NoStateFile]: nowhere.
	StateFile string
	// Listen is where page and metrics are served, address:port.
	Listen    string
	API       API
	Log       Log
	Conntrack Conntrack
	Spec      balancer.Spec
}

// API says where the control API is served to other machines; without Listen it is not.
type API struct {
	Listen    string // host:port
	Cert, Key string // files: the server's
	ClientCA  string // file: who signs clients' certificates
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
	TCPSyn, TCPEstablished time.Duration
	TCPFinWait             time.Duration // dsr, after the client's FIN: the server's end is not seen
	TCPClosing             time.Duration
	UDPNew, UDPEstablished time.Duration
	ICMP                   time.Duration
}

// Default returns the Config of a file that says nothing.
func Default() *Config {
	return &Config{
		XDPMode: XDPAuto,
		Driver:  DriverNative,
		Poll:    PollAdaptive,
		Listen:  "127.0.0.1:9190",

		StateFile: "/var/lib/afxlb/state.json",
		Log:       Log{Level: "info", Format: "console"},
		Conntrack: Conntrack{
			MaxFlows: 1_000_000,
			Timeouts: Timeouts{
				TCPSyn: 10 * time.Second, TCPEstablished: 15 * time.Minute,
				TCPFinWait: 2 * time.Minute, TCPClosing: 10 * time.Second,
				UDPNew: 30 * time.Second, UDPEstablished: 2 * time.Minute,
				ICMP: 10 * time.Second,
			},
		},
	}
}

// Load reads and parses the file at path. Errors are as of [Parse], or name the
// file.
func Load(path string) (*Config, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Read reads the file at path, which it has all of in memory. Its error names the operation
// and the path.
func Read(path string) ([]byte, error) { return read(path, readTime) }

// Parse parses data; name stands for the file in messages. Its error is a
// [*SyntaxError] or [Problems].
func Parse(name string, data []byte) (*Config, error) {
	f := newFile(name, len(data))
	if err := f.load(data); err != nil {
		return nil, err
	}
	c := Default()
	f.decode(c)
	if err := f.sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

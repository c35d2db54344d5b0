package config

import (
	"strconv"

	"github.com/afxlb/afxlb/balancer"
)

// XDPMode says how packets get from the driver to the sockets.
type XDPMode string

// The XDP modes. Auto takes the best that works and says which.
const (
	XDPAuto     XDPMode = "auto"
	XDPZeroCopy XDPMode = "zero-copy"
	XDPCopy     XDPMode = "copy"
	XDPGeneric  XDPMode = "generic"
)

// Driver says which code sets up the sockets.
type Driver string

// The drivers.
const (
	DriverNative Driver = "native"
	DriverAsavie Driver = "asavie"
)

// Poll says what a worker does while no packet comes.
type Poll string

// The ways to poll: adaptive sleeps in poll(2) when idle, busy never sleeps.
const (
	PollAdaptive Poll = "adaptive"
	PollBusy     Poll = "busy"
)

// FrameSize is the size of packet buffers in bytes; 0: the smallest that takes the MTU.
type FrameSize int

// ParseFrameSize reads 2048 or 4096, the sizes that the kernel takes and that hold a packet.
func ParseFrameSize(s string) (FrameSize, error) {
	size, err := parseEnum("frame size", s, "2048", "4096")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(size)
	return FrameSize(n), err
}

// ParseXDPMode reads auto, zero-copy, copy or generic.
func ParseXDPMode(s string) (XDPMode, error) {
	return parseEnum("XDP mode", s, XDPAuto, XDPZeroCopy, XDPCopy, XDPGeneric)
}

// ParseDriver reads native or asavie.
func ParseDriver(s string) (Driver, error) {
	return parseEnum("driver", s, DriverNative, DriverAsavie)
}

// ParsePoll reads adaptive or busy.
func ParsePoll(s string) (Poll, error) {
	return parseEnum("way to poll", s, PollAdaptive, PollBusy)
}

func parseLogLevel(s string) (string, error) {
	return parseEnum("log level", s, "debug", "info", "warn", "error")
}

func parseLogFormat(s string) (string, error) {
	return parseEnum("log format", s, "console", "json")
}

// String, Set and Type make the three types flag values (pflag.Value).

func (m XDPMode) String() string { return string(m) }
func (d Driver) String() string  { return string(d) }
func (p Poll) String() string    { return string(p) }

// Set reads a flag's argument.
func (m *XDPMode) Set(s string) error { return assign(m, s, ParseXDPMode) }

// Set reads a flag's argument.
func (d *Driver) Set(s string) error { return assign(d, s, ParseDriver) }

// Set reads a flag's argument.
func (p *Poll) Set(s string) error { return assign(p, s, ParsePoll) }

// Type names the value in the help text.
func (m *XDPMode) Type() string { return "mode" }

// Type names the value in the help text.
func (d *Driver) Type() string { return "driver" }

// Type names the value in the help text.
func (p *Poll) Type() string { return "poll" }

// parseEnum returns the value that s names, or a [*balancer.UnknownNameError].
func parseEnum[T ~string](what, s string, values ...T) (T, error) {
	known := make([]string, len(values))
	for i, v := range values {
		if s == string(v) {
			return v, nil
		}
		known[i] = string(v)
	}
	return "", &balancer.UnknownNameError{What: what, Name: s, Known: known}
}

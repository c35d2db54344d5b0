package bpf

import "fmt"

// Reason says what the program did with a packet, and why. Every packet that the
// interface received counts under exactly one.
type Reason uint8

// The reasons, in the order of the C program's enum.
const (
	Passed            = Reason(steerReasonPASSED)
	SteeredService    = Reason(steerReasonSTEERED_SERVICE)
	SteeredReply      = Reason(steerReasonSTEERED_REPLY)
	SteeredICMP       = Reason(steerReasonSTEERED_ICMP)
	SteeredFragment   = Reason(steerReasonSTEERED_FRAGMENT)
	SteeredUnreadable = Reason(steerReasonSTEERED_UNREADABLE)
	DroppedNoSocket   = Reason(steerReasonDROPPED_NO_SOCKET)
	NumReasons        = Reason(steerReasonREASONS)
)

var reasons = [NumReasons]struct{ name, help string }{
	Passed:            {"passed", "not for the balancer: left to the kernel"},
	SteeredService:    {"steered-service", "for a service's address, protocol and port"},
	SteeredReply:      {"steered-reply", "from a nat backend's address and port, and not for this machine itself"},
	SteeredICMP:       {"steered-icmp", "echo request for a service address, or ICMP error about a service's flow"},
	SteeredFragment:   {"steered-fragment", "fragment for a service address, or of a nat backend's reply"},
	SteeredUnreadable: {"steered-unreadable", "for a service address, but cut short or malformed before the ports"},
	DroppedNoSocket:   {"dropped-no-socket", "to be steered, but no socket serves the RX queue (a worker is starting, stopping or missing)"},
}

// String returns the short, stable name: counter and metric label.
func (r Reason) String() string {
	if r >= NumReasons {
		return fmt.Sprintf("reason-%d", uint8(r))
	}
	return reasons[r].name
}

// Help returns one line for people.
func (r Reason) Help() string {
	if r >= NumReasons {
		return ""
	}
	return reasons[r].help
}

// Counters counts packets by reason, since the program was loaded.
type Counters [NumReasons]uint64

// Steered returns how many packets were handed to a socket. The kernel drops
// those that find the socket's RX ring full: its XDP statistics have these.
func (c *Counters) Steered() uint64 {
	return c[SteeredService] + c[SteeredReply] + c[SteeredICMP] + c[SteeredFragment] + c[SteeredUnreadable]
}

// Add adds another program's.
func (c *Counters) Add(o *Counters) {
	for r := range c {
		c[r] += o[r]
	}
}

// Counters reads the counters, summed over all CPUs. Any goroutine may call it.
func (p *Program) Counters() (Counters, error) {
	var sums Counters
	var perCPU []uint64
	for r := range NumReasons {
		if err := p.objects.Counters.Lookup(uint32(r), &perCPU); err != nil {
			return Counters{}, fmt.Errorf("read the counter %s: %w", r, err)
		}
		for _, n := range perCPU {
			sums[r] += n
		}
	}
	return sums, nil
}

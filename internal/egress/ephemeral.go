package egress

import (
	"bytes"
	"fmt"
	"os"
)

// PortRange is a range of TCP and UDP ports, both ends included.
type PortRange struct{ First, Last uint16 }

// ephemeralFile has the range that the kernel gives to connections of both families
// (Documentation/networking/ip-sysctl.rst), in the calling thread's network namespace.
const ephemeralFile = "/proc/sys/net/ipv4/ip_local_port_range"

// readEphemeral puts the ports of the machine's own connections into r.
func readEphemeral(r *reading) error {
	b, err := os.ReadFile(ephemeralFile)
	if err != nil {
		return fmt.Errorf("read the ports of own connections: %w", err)
	}
	p, err := parseEphemeral(b)
	if err != nil {
		return fmt.Errorf("read the ports of own connections in %s: %w", ephemeralFile, err)
	}
	r.Ephemeral = p
	return nil
}

func parseEphemeral(b []byte) (p PortRange, err error) {
	if _, err := fmt.Fscan(bytes.NewReader(b), &p.First, &p.Last); err != nil || p.First > p.Last {
		return PortRange{}, fmt.Errorf("%q is no range of ports", b)
	}
	return p, nil
}

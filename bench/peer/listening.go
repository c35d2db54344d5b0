package peer

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// listening returns a [Command.Ready] that waits until all of the services' ports are
// open. It looks at the kernel's list: to knock would make a connection to a backend.
func listening(services []Service) func(context.Context, *Process) (bool, error) {
	return func(_ context.Context, p *Process) (bool, error) {
		for _, s := range services {
			open, err := isOpen(p.cmd.Process.Pid, s)
			if !open || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

// isOpen looks for a socket that listens, or is bound without a peer, on the service's
// port: a line of proc_net_tcp(5) is "sl local_address rem_address st …".
func isOpen(pid int, s Service) (bool, error) {
	file, state := s.Protocol, "0A" // TCP_LISTEN
	if s.Protocol == "udp" {
		state = "07" // TCP_CLOSE
	}
	if s.Address.Addr().Is6() {
		file += "6"
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
	if err != nil {
		return false, fmt.Errorf("look for listening sockets: %w", err)
	}
	port := fmt.Sprintf(":%04X", s.Address.Port())
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], port) && f[3] == state {
			return true, nil
		}
	}
	return false, nil
}

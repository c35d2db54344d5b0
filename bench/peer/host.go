package peer

import "github.com/afxlb/afxlb/internal/lab"

// setting is one of [lab.Host.Sysctl].
type setting struct{ name, value string }

// Endpoint is what a host needs that opens or takes very many connections.
var endpoint = []setting{
	// Connections that wait to be accepted: as many as come.
	{"net/core/somaxconn", "65535"},
	{"net/ipv4/tcp_max_syn_backlog", "65535"},
	// Who opens connections has 64 k ports to a destination, and may use one again a
	// second after its connection was closed, told apart by timestamps (tcp_tw_reuse
	// in the kernel's Documentation/networking/ip-sysctl.rst).
	{"net/ipv4/ip_local_port_range", "1024 65535"},
	{"net/ipv4/tcp_tw_reuse", "1"},
}

// TuneEndpoint prepares a host for very many connections that begin or end there: at
// clients, at servers, and at a balancer that is a proxy.
func TuneEndpoint(h *lab.Host) error { return set(h, endpoint) }

func set(h *lab.Host, list []setting) error {
	for _, s := range list {
		if err := h.Sysctl(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

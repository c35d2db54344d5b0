package peer

import (
	"context"
	"fmt"
	"strings"

	"github.com/afxlb/afxlb/internal/lab"
)

// TCPProxy is HAProxy in TCP mode.
type TCPProxy struct {
	Program  string // the path of haproxy
	Services []Service
	CPUs     []int // one thread each
}

// Config returns the config.
func (p TCPProxy) Config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
    # As many threads as it gets CPUs, each on its own; more would take turns.
    nbthread %d
    cpu-map auto:1/1-%[1]d %s
    # No log, no statistics, no checks: nothing but what is measured. As many
    # connections as it may open files, which it finds out by itself.
defaults
    mode tcp
    balance roundrobin
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    # An ACK less on each side: it goes with the data that follows.
    option tcp-smart-accept
    option tcp-smart-connect
`, len(p.CPUs), strings.ReplaceAll(list(p.CPUs), ",", " "))
	for i, s := range p.Services {
		fmt.Fprintf(&b, "listen s%d\n    bind %s backlog 65535\n", i, bindAddr(s))
		for j, to := range s.Backends {
			fmt.Fprintf(&b, "    server b%d %s\n", j, to)
		}
	}
	return b.String()
}

// bindAddr writes an address as HAProxy has it: the port is behind the last colon.
func bindAddr(s Service) string { return fmt.Sprintf("%s:%d", s.Address.Addr(), s.Address.Port()) }

// Start starts it in the foreground (-db), as a master and a worker (-W): without a
// master it does not handle SIGTERM, which the first process of a namespace needs to.
func (p TCPProxy) Start(ctx context.Context, h *lab.Host) (Running, error) {
	return startProxy(ctx, h, p.Services, Command{
		Program: p.Program, Args: []string{"-W", "-db", "-f", "{dir}/haproxy.cfg"},
		Files: map[string]string{"haproxy.cfg": p.Config()}, CPUs: p.CPUs, Ready: listening(p.Services),
	})
}

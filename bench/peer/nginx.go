package peer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// StreamProxy is nginx with its stream module, for TCP and UDP.
type StreamProxy struct {
	Program  string // the path of nginx
	Services []Service
	CPUs     []int // one worker each
}

// Config returns the config.
func (p StreamProxy) Config() (string, error) {
	module, err := streamModule(p.Program)
	if err != nil {
		return "", err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return "", fmt.Errorf("ask how many files may be open: %w", err)
	}
	files := min(limit.Max, 200_000)
	var b strings.Builder
	if module != "" {
		fmt.Fprintf(&b, "load_module %s;\n", module)
	}
	fmt.Fprintf(&b, `daemon off;
user root;
pid nginx.pid;
error_log stderr crit;
# As many workers as it gets CPUs, each on its own; more would take turns.
worker_processes %d;
worker_cpu_affinity %s;
# As many connections as it may open files.
worker_rlimit_nofile %d;
events {
    worker_connections %[3]d;
    # All that wait, at one event.
    multi_accept on;
}
stream {
    # No log: it is off unless it is asked for.
    proxy_connect_timeout 5s;
    proxy_timeout 60s;
`, len(p.CPUs), masks(p.CPUs), files)
	for i, s := range p.Services {
		fmt.Fprintf(&b, "    upstream s%d {\n", i)
		for _, to := range s.Backends {
			// It must not think a backend dead and go round it: no peer does here.
			fmt.Fprintf(&b, "        server %s max_fails=0;\n", to)
		}
		// Each worker has a socket of its own (reuseport), so that none waits for another.
		option := "backlog=65535 reuseport"
		if s.Protocol == "udp" {
			option = "udp reuseport"
		}
		fmt.Fprintf(&b, "    }\n    server {\n        listen %s %s;\n        proxy_pass s%d;\n    }\n", s.Address, option, i)
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// masks writes one mask of CPUs a worker, in binary, the first CPU last.
func masks(cpus []int) string {
	var all []string
	for _, c := range cpus {
		m := strings.Repeat("0", slices.Max(cpus)+1)
		at := len(m) - 1 - c
		all = append(all, m[:at]+"1"+m[at+1:])
	}
	return strings.Join(all, " ")
}

// Start starts it. Its error log goes to the harness also before the config is read.
func (p StreamProxy) Start(ctx context.Context, h *lab.Host) (Running, error) {
	config, err := p.Config()
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, h, p.Services, Command{
		Program: p.Program, Args: []string{"-p", "{dir}", "-e", "stderr", "-c", "nginx.conf"},
		Files: map[string]string{"nginx.conf": config}, CPUs: p.CPUs, Ready: listening(p.Services),
	})
}

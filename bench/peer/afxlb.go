package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// Afxlb says how to run the daemon. Empty fields are its own defaults.
type Afxlb struct {
	Program   string // see [FindAfxlb]
	Config    string // text of the file; [AfxlbConfig] makes one
	Interface string
	Queues    string // as --queues has it
	CPUs      []int  // of the workers, and of its other threads
	Poll      string // busy or adaptive
	Driver    string // native or asavie
}

// FindAfxlb returns the daemon's path as an absolute one.
func FindAfxlb(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		return "", fmt.Errorf("find the daemon (`make bench` builds it, as does `go build -o %s ./cmd/afxlb`): %w", path, err)
	}
	return abs, nil
}

// AfxlbVersion asks the daemon at path for its version: it may have been built from
// another state of the source than the harness.
func AfxlbVersion(path string) (string, error) {
	out, err := exec.Command(path, "version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w: %s", path, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// AfxlbConfig returns a config of these services. Nothing is checked, as with the
// peers; turns are taken, as with the peers.
func AfxlbConfig(services []Service) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i, s := range services {
		mode := "nat"
		if s.DSR {
			mode = "dsr"
		}
		fmt.Fprintf(&b, "  - {name: s%d, address: %q, port: %d, protocol: %s, mode: %s, algorithm: round-robin, health: {type: none}, backends: [",
			i, s.Address.Addr(), s.Address.Port(), s.Protocol, mode)
		for j, to := range s.Backends {
			fmt.Fprintf(&b, "{name: b%d, address: %q, port: %d}, ", j, to.Addr(), to.Port())
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

// Daemon is an afxlb that serves.
type Daemon struct {
	*Process
	API *api.Client
}

// Start starts the daemon and returns when it serves, and knows the way to all of its
// backends: packets to others would be lost.
func (a Afxlb) Start(ctx context.Context, h *lab.Host) (*Daemon, error) {
	d := &Daemon{}
	c := Command{
		Program: a.Program, Args: []string{"--config", "{dir}/afxlb.yaml", "--socket", "{dir}/afxlb.sock"},
		Files: map[string]string{"afxlb.yaml": a.Config}, CPUs: a.CPUs,
		Ready: func(ctx context.Context, p *Process) (bool, error) {
			if d.API == nil {
				d.API = api.NewClient(filepath.Join(p.Dir, "afxlb.sock"))
			}
			return serves(ctx, d.API)
		},
	}
	for _, f := range []struct{ name, value string }{
		{"--interface", a.Interface}, {"--queues", a.Queues}, {"--cpus", list(a.CPUs)}, {"--poll", a.Poll}, {"--driver", a.Driver},
	} {
		if f.value != "" {
			c.Args = append(c.Args, f.name, f.value)
		}
	}
	var err error
	if d.Process, err = Start(ctx, h, c); err != nil {
		return nil, err
	}
	return d, nil
}

func serves(ctx context.Context, c *api.Client) (bool, error) {
	s, err := c.Status(ctx)
	if err != nil || s.State != "serving" || s.Backends.Up != s.Backends.Total {
		return false, err
	}
	backends, err := c.Backends(ctx, "")
	return err == nil && !slices.ContainsFunc(backends, func(b api.Backend) bool { return b.MAC == "" }), err
}

// list writes numbers as 0,2,5.
func list(numbers []int) string {
	var words []string
	for _, n := range numbers {
		words = append(words, fmt.Sprint(n))
	}
	return strings.Join(words, ",")
}

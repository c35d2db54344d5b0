package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// The services' addresses in these tests.
var (
	natVIP4 = netip.MustParseAddr("192.0.2.10")
	natVIP6 = netip.MustParseAddr("2001:db8:2::10")
	dsrVIP4 = netip.MustParseAddr("192.0.2.20")
	dsrVIP6 = netip.MustParseAddr("2001:db8:2::20")
)

const (
	queues = 2
	port   = 8080
	// patience bounds every wait: far above what it takes on a busy machine.
	patience = 30 * time.Second
	poll     = 10 * time.Millisecond
)

// world is a lab with web servers named b0, b1 and b2, and a folder for files.
type world struct {
	t   *testing.T
	lab *lab.Lab
	web []*lab.HTTPServer
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Backends: 3, Queues: queues, VIPs: []netip.Addr{dsrVIP4, dsrVIP6}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	w := &world{t: t, lab: l, dir: t.TempDir()}
	for i, h := range l.Backends {
		s, err := h.HTTPServer(fmt.Sprint(":", port), fmt.Sprint("b", i))
		if err != nil {
			t.Fatal(err)
		}
		w.web = append(w.web, s)
	}
	return w
}

// service returns a service's part of a config file; extra are further keys.
func service(name string, vip netip.Addr, mode, protocol, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - {name: %s, address: %q, port: %d, protocol: %s, mode: %s, %s backends: [", name, vip, port, protocol, mode, extra)
	for i := range 3 {
		a := lab.BackendAddr(i)
		if vip.Is6() {
			a = lab.BackendAddr6(i)
		}
		fmt.Fprintf(&b, "{name: b%d, address: %q}, ", i, a)
	}
	b.WriteString("]}\n")
	return b.String()
}

const quickHealth = "health: {type: tcp, interval: 200ms, timeout: 200ms, rise: 2, fall: 2},"

// writeConfig writes a config file with these services and returns its path.
func (w *world) writeConfig(name string, services ...string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	text := "interface: " + lab.Interface + "\nservices:\n" + strings.Join(services, "")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// process is an afxlb in the balancer's namespace.
type process struct {
	*exec.Cmd
	t      *testing.T
	api    *api.Client
	socket string
	ended  chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts afxlb with a control socket of its own unless args name one.
func (w *world) start(attr *syscall.SysProcAttr, args ...string) *process {
	w.t.Helper()
	p := w.newProcess(attr)
	p.Cmd.Args = append(p.Cmd.Args, args...)
	p.launch(w, args)
	return p
}

// newProcess returns an afxlb that is still to be launched.
func (w *world) newProcess(attr *syscall.SysProcAttr) *process {
	p := &process{t: w.t, socket: filepath.Join(w.dir, fmt.Sprintf("%d.sock", time.Now().UnixNano())), ended: make(chan struct{})}
	p.Cmd = exec.Command("/proc/self/exe", "--socket", p.socket)
	p.Env = append(os.Environ(), "AFXLB_TEST_MAIN=1")
	p.Stdout, p.Stderr, p.SysProcAttr = p, p, attr
	p.api = api.NewClient(p.socket)
	return p
}

// launch starts the process, and sees to its end. The args are for messages.
func (p *process) launch(w *world, args []string) {
	p.t.Helper()
	if err := w.lab.Balancer.Start(p.Cmd); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // its state tells
	}()
	p.t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("afxlb %v:\n%s", args, p.output())
		}
	})
}

// serve starts afxlb and waits until it serves with all backends up, and knows the
// way to them: a lost datagram is not sent again.
func (w *world) serve(config string, args ...string) *process {
	w.t.Helper()
	p := w.start(nil, append([]string{"--config", config}, args...)...)
	p.await("serve", func(s api.Status) bool {
		if s.State != "serving" || s.Backends.Up != s.Backends.Total {
			return false
		}
		list, err := p.api.Backends(w.t.Context(), "")
		return err == nil && !slices.ContainsFunc(list, func(b api.Backend) bool { return b.MAC == "" })
	})
	return p
}

// await waits for a status that ok accepts.
func (p *process) await(what string, ok func(api.Status) bool) api.Status {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		s, err := p.api.Status(ctx)
		if err == nil && ok(s) {
			return s
		}
		select {
		case <-p.ended:
			p.t.Fatalf("afxlb ended instead of coming to %s: %v\n%s", what, p.ProcessState, p.output())
		case <-ctx.Done():
			p.t.Fatalf("afxlb did not come to %s: %+v, %v", what, s, err)
		case <-time.After(poll):
		}
	}
}

// exit waits for the process's end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("afxlb does not end:\n%s", p.output())
	}
	return p.ProcessState.ExitCode()
}

// stop ends the process by SIGTERM; it must end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.exit(); code != exitDone {
		p.t.Errorf("exit code %d after SIGTERM\n%s", code, p.output())
	}
}

// checkSums waits until the counters stand still and holds them against each other.
func (p *process) checkSums() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for last := uint64(0); ; time.Sleep(5 * poll) {
		list, err := p.api.Counters(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		var received, sum uint64
		for _, c := range list {
			switch {
			case c.Group == "packets" && c.Name == "received":
				received = c.Value
			case c.Group == "packets":
				sum += c.Value
			}
		}
		if received != sum {
			p.t.Errorf("received %d packets, verdicts %d", received, sum)
		}
		if received == last && received > 0 {
			return
		}
		if last = received; time.Now().After(deadline) {
			p.t.Fatal("the counters do not come to rest")
		}
	}
}

// get asks a service for who answers, on a connection of its own.
func (w *world) get(vip netip.Addr) (string, error) {
	c := w.lab.Clients[0].HTTPClient(patience, false)
	return lab.Get(w.t.Context(), c, url(vip, "/"))
}

// mustAnswer asks n times; every request must be answered.
func (w *world) mustAnswer(n int, vip netip.Addr) map[string]int {
	w.t.Helper()
	by := map[string]int{}
	for range n {
		name, err := w.get(vip)
		if err != nil {
			w.t.Fatalf("request to %v: %v", vip, err)
		}
		by[name]++
	}
	return by
}

func url(vip netip.Addr, path string) string {
	return "http://" + netip.AddrPortFrom(vip, port).String() + path
}

// attached reports whether an XDP program is on the balancer's interface.
func (w *world) attached() bool {
	w.t.Helper()
	link, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		w.t.Fatal(err)
	}
	x := link.Attrs().Xdp
	return x != nil && x.Attached
}

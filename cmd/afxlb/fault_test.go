package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestTermLeavesNothing(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "")))
	if !w.attached() {
		t.Fatal("no XDP program while afxlb serves")
	}
	p.stop()
	if w.attached() {
		t.Error("the XDP program is left")
	}
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is left: %v", err)
	}
}

// A stop is a stop, at whatever moment of the start it comes.
func TestTermDuringTheStart(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", ""))
	for i := range 12 {
		p := w.start(nil, "--config", config)
		for p.lines("INFO.*starting") == 0 {
			select {
			case <-p.ended:
				t.Fatal("afxlb ended by itself")
			case <-time.After(time.Millisecond):
			}
		}
		time.Sleep(time.Duration(i) * 6 * time.Millisecond) // the moments differ
		p.stop()
		if w.attached() {
			t.Fatal("the XDP program is left")
		}
	}
}

func TestKilledAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", ""))
	socket := filepath.Join(w.dir, "one.sock")
	for _, driver := range []string{"native", "asavie", "native"} {
		p := w.start(nil, "--config", config, "--driver", driver, "--socket", socket)
		p.api = api.NewClient(socket)
		p.await("serve", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
		w.mustAnswer(3, natVIP4)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.exit()
	}
	if w.attached() {
		t.Error("the XDP program outlived its process")
	}
}

func TestSecondInstance(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", ""))
	first := w.serve(config)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"same queues":         {nil, "another XDP program is attached to eth0"},
		"another queue":       {[]string{"--queues", "1"}, "another XDP program is attached to eth0"},
		"same control socket": {[]string{"--socket", first.socket}, "another afxlb is running"},
	} {
		p := w.start(nil, append([]string{"--config", config}, c.args...)...)
		if code := p.exit(); code != exitFailed || !strings.Contains(p.output(), c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", name, code, exitFailed, c.want, p.output())
		}
		w.mustAnswer(3, natVIP4)
	}
	first.stop()
}

// letAnybodyIn lets every user get at the files of the world's folder.
func (w *world) letAnybodyIn() {
	w.t.Helper()
	for d := w.dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestWhatTheMachineCannotDo(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", ""))
	w.letAnybodyIn()
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for name, c := range map[string]struct {
		attr *syscall.SysProcAttr
		args []string
		want []string
	}{
		"no interface": {nil, []string{"--interface", "nosuch0"}, []string{"nosuch0", "no such interface"}},
		"a loopback":   {nil, []string{"--interface", "lo"}, []string{"lo is a loopback"}},
		"no queue":     {nil, []string{"--queues", "0,7"}, []string{"eth0", "no queue 7"}},
		"zero-copy":    {nil, []string{"--xdp-mode", "zero-copy"}, []string{"zero-copy", "eth0"}},
		"no privilege": {nobody, nil, []string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"}},
	} {
		p := w.start(c.attr, append([]string{"--config", config}, c.args...)...)
		if code := p.exit(); code != exitMachine {
			t.Errorf("%s: exit code %d, want %d:\n%s", name, code, exitMachine, p.output())
		}
		for _, want := range c.want {
			if !strings.Contains(p.output(), want) {
				t.Errorf("%s: no %q in:\n%s", name, want, p.output())
			}
		}
		if w.attached() {
			t.Errorf("%s: an XDP program is left", name)
		}
	}
}

// A code says what the error was marked as where it arose: the kernel has one number for
// a file that may not be read and a privilege that is missing.
func TestExitCodesAreNoGuesses(t *testing.T) {
	w := newWorld(t)
	w.letAnybodyIn()
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", ""))
	secret := w.writeConfig("secret.yaml", service("web", natVIP4, "nat", "tcp", ""))
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for name, c := range map[string]struct {
		attr *syscall.SysProcAttr
		args []string
		code int
		want string
	}{
		"check a file that may not be read": {nobody, []string{"check", secret}, exitFailed, "permission denied"},
		"start with it":                     {nobody, []string{"--config", secret}, exitUsage, "permission denied"},
		"check a folder":                    {nil, []string{"check", w.dir}, exitFailed, "is a directory"},
		"CPUs that there are not":           {nil, []string{"--config", config, "--cpus", "98,99"}, exitUsage, "CPU 98"},
		"too few CPUs":                      {nil, []string{"--config", config, "--cpus", "0"}, exitUsage, "each needs one"},
		"a queue that there is not":         {nil, []string{"--config", config, "--queues", "9"}, exitMachine, "no queue 9"},
	} {
		p := w.newProcess(c.attr)
		p.Cmd.Args = append(p.Cmd.Args[:1], c.args...)
		if c.args[0] != "check" {
			p.Cmd.Args = append(p.Cmd.Args, "--socket", p.socket)
		}
		p.launch(w, c.args)
		if code := p.exit(); code != c.code || !strings.Contains(p.output(), c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", name, code, c.code, c.want, p.output())
		}
	}
}

func TestWrongConfigTouchesNothing(t *testing.T) {
	w := newWorld(t)
	path := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "algorithm: round-robbin,"))
	p := w.start(nil, "--config", path)
	if code := p.exit(); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	if want := path + ":3: services[0].algorithm: "; !strings.Contains(p.output(), want) {
		t.Errorf("no %q in:\n%s", want, p.output())
	}
	if w.attached() {
		t.Error("an XDP program is attached")
	}
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("a control socket was made: %v", err)
	}
}

func TestLinkFlap(t *testing.T) {
	w := newWorld(t)
	for _, driver := range []string{"native", "asavie"} {
		p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--driver", driver)
		nl := w.lab.Balancer.Netlink()
		link, err := nl.LinkByName(lab.Interface)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := nl.LinkSetDown(link); err != nil {
				t.Fatal(err)
			}
			p.await("see the backends out of reach", func(s api.Status) bool { return s.Backends.Up == 0 })
			if err := nl.LinkSetUp(link); err != nil {
				t.Fatal(err)
			}
			p.await("resume", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
			w.mustAnswer(6, natVIP4)
		}
		p.checkSums()
		p.stop()
	}
}

func TestInterfaceRemoved(t *testing.T) {
	w := newWorld(t)
	for _, driver := range []string{"native", "asavie"} {
		p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--driver", driver)
		w.unplug()
		s := p.await("notice", func(s api.Status) bool { return s.State == "waiting" })
		if s.Reason == "" {
			t.Error("the status gives no reason for waiting")
		}
		if err := w.lab.PlugBalancer(queues); err != nil {
			t.Fatal(err)
		}
		p.await("resume", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
		w.mustAnswer(6, natVIP4)
		p.stop()
	}
}

// An interface that is back but can't be served is waited for, and nothing is told again
// and again of backends that nobody can reach.
func TestInterfaceBackWithFewerQueues(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--queues", "0-1")
	for _, queues := range []int{1, queues} {
		w.unplug()
		p.await("notice", func(s api.Status) bool { return s.State == "waiting" })
		if err := w.lab.PlugBalancer(queues); err != nil {
			t.Fatal(err)
		}
		if queues > 1 {
			break
		}
		p.awaitLines(1, "waiting for the interface")
		p.awaitLines(1, "the link is down")
		p.awaitLines(1, "the interface can't be served.*no queue 1: the interface has 1 RX queues")
		told := p.lines("WARN|backend is up")
		p.stays(3*retries, "waiting", func(s api.Status) bool { return s.State == "waiting" && s.Backends.Up == 0 })
		if n := p.lines("WARN|backend is up"); n > told+1 {
			t.Errorf("%d lines more while nothing changed:\n%s", n-told, p.output())
		}
	}
	p.await("resume", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	w.mustAnswer(6, natVIP4)
	p.stop()
}

// retries is how often the daemon looks for an interface that went away.
const retries = time.Second

func TestReload(t *testing.T) {
	w := newWorld(t)
	web := service("web", natVIP4, "nat", "tcp", quickHealth)
	second := netip.MustParseAddr("192.0.2.11")
	config := w.writeConfig("afxlb.yaml", web)
	p := w.serve(config)
	hangup := func() {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	w.writeConfig("afxlb.yaml", web, service("second", second, "nat", "tcp", quickHealth))
	hangup()
	p.await("have a second service", func(s api.Status) bool { return s.Services.Up == 2 && s.Backends.Up == 6 && s.Reload == "ok" })
	w.mustAnswer(6, second)

	w.writeConfig("afxlb.yaml", web, "  - {name: wrong}\n")
	hangup()
	s := p.await("refuse a wrong file", func(s api.Status) bool { return s.Reload != "ok" })
	if !strings.Contains(s.Reload, fmt.Sprint(config, ":4: services[1]")) || s.Services.Total != 2 {
		t.Errorf("after a wrong file: %d services, %q", s.Services.Total, s.Reload)
	}
	w.mustAnswer(6, second)

	// A backend and a service are removed; the flows of others go on.
	w.writeConfig("afxlb.yaml", strings.Replace(web, fmt.Sprintf("{name: b1, address: %q}, ", lab.BackendAddr(1)), "", 1))
	hangup()
	p.await("have one service with two backends", func(s api.Status) bool {
		return s.Services.Total == 1 && s.Backends.Total == 2 && s.Backends.Up == 2
	})
	if by := w.mustAnswer(20, natVIP4); by["b1"] != 0 || len(by) != 2 {
		t.Errorf("without b1, answered by %v", by)
	}
	p.stop()
}

// As make test asks for root tests, they must fail without root, not skip.
func TestRootTestsFailWithoutRoot(t *testing.T) {
	testutil.RequireRoot(t)
	for asked, want := range map[string]string{"1": "FAIL", "": "SKIP"} {
		c := exec.Command("/proc/self/exe", "-test.run=^TestPing$", "-test.v")
		c.Env = []string{"AFXLB_ROOT_TESTS=" + asked, "TMPDIR=" + os.TempDir()}
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, _ := c.CombinedOutput() // its exit code is in the output
		if !strings.Contains(string(out), "--- "+want+": TestPing") {
			t.Errorf("AFXLB_ROOT_TESTS=%q as nobody: no %s in:\n%s", asked, want, out)
		}
	}
}

// A crash is not taken for a wrong config, after which the unit does not start again
// (RestartPreventExitStatus=2), and the next start has all that it needs.
func TestFieldCrashIsStartedAgain(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	p := w.serve(config)
	if err := p.Process.Signal(syscall.SIGQUIT); err != nil { // Go's runtime ends by that as by a panic
		t.Fatal(err)
	}
	p.exit()
	if by := p.ProcessState.Sys().(syscall.WaitStatus); !by.Signaled() || by.Signal() != syscall.SIGABRT {
		t.Errorf("a crash ends as %v", p.ProcessState)
	}
	again := w.serve(config)
	w.mustAnswer(3, natVIP4)
	again.stop()
}

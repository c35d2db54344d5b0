package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// sandboxEnv has the folder of a sandbox that the process is to run a shell in.
const sandboxEnv = "AFXLB_TEST_SANDBOX"

// enterSandbox runs a shell, with this process's arguments, whose /etc, /run and /var/lib are the sandbox's:
// what an example names is there, and what it writes stays there. The process has a mount
// namespace of its own.
func enterSandbox(dir string) error {
	for _, name := range []string{"/etc", "/run", "/var/lib"} {
		if err := unix.Mount(dir+name, name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("put %s of the sandbox there: %w", name, err)
		}
	}
	if err := os.Unsetenv(sandboxEnv); err != nil {
		return err
	}
	shell, err := exec.LookPath("bash")
	if err != nil {
		return err
	}
	return unix.Exec(shell, append([]string{"bash"}, os.Args[1:]...), os.Environ())
}

// sandbox is where the examples are run: the balancer of a lab whose world is that of the
// README's config.
type sandbox struct {
	*world
	vip netip.Addr
}

// standIns are the programs of others in examples, which need not be here.
var standIns = map[string]string{
	"ipvsadm-save": "cat /etc/ipvsadm.rules", "jq": "cat", "tcpdump": "cat > /dev/null", "wireshark": "cat > /dev/null",
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	testutil.RequireRoot(t)
	t.Parallel()
	l, err := lab.New(lab.Options{Backends: 3, Queues: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	s := &sandbox{&world{t: t, lab: l, dir: t.TempDir()}, netip.MustParseAddr("192.0.2.10")}
	for i, h := range l.Backends {
		if _, err := h.HTTPServer(fmt.Sprint(":", port), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"run", "var/lib", "bin", "work", "etc/afxlb", "etc/keepalived", "etc/haproxy", "etc/bash_completion.d"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.file("bin/afxlb", fmt.Sprintf("#!/bin/bash\nAFXLB_TEST_MAIN=1 exec %s \"$@\"\n", self))
	s.file("bin/curl", fmt.Sprintf("#!/bin/bash\n%s=1 exec %s \"$@\"\n", curlEnv, self))
	for name, does := range standIns {
		s.file("bin/"+name, "#!/bin/bash\n"+does+"\n")
	}
	s.file("etc/afxlb/afxlb.yaml", s.config())
	s.file("etc/ipvsadm.rules", readText(t, "../../internal/convert/testdata/ipvsadm-save"))
	s.file("etc/keepalived/keepalived.conf", readText(t, "../../internal/convert/testdata/whole.conf"))
	s.file("etc/haproxy/haproxy.cfg", readText(t, "../../internal/convert/testdata/haproxy.cfg"))
	return s
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// config is one for the names and addresses that examples have: service web with backends a, b, c.
func (s *sandbox) config() string {
	var list []string
	for i, name := range []string{"a", "b", "c"} {
		list = append(list, fmt.Sprintf("{name: %s, address: %q, port: %d}", name, lab.BackendAddr(i), port))
	}
	return "interface: " + lab.Interface + "\nservices:\n" + entry("web", s.vip, 80, quickHealth, list...)
}

// file writes one of the sandbox's.
func (s *sandbox) file(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// shell returns a command line that is to be run in the sandbox, in a folder that has the files
// which examples name.
func (s *sandbox) shell(line string) *exec.Cmd {
	s.t.Helper()
	folder, err := os.MkdirTemp(filepath.Join(s.dir, "work"), "")
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe", "-o", "pipefail", "-c", line)
	c.Dir = folder
	c.Env = append(os.Environ(), sandboxEnv+"="+s.dir, "AFXLB_TEST_MAIN=1", "EXTRA=192.0.2.11", "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Setpgid: true}
	work := strings.TrimPrefix(folder, s.dir+"/")
	s.file(work+"/afxlb.yaml", s.config())
	s.file(work+"/new.yaml", s.config())
	capture := readText(s.t, "../../internal/replay/testdata/nat.pcap")
	s.file(work+"/in.pcap", capture)
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(capture)); err != nil {
		s.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.file(work+"/in.pcapng.gz", packed.String())
	return c
}

// Of some verbs other exit codes than these two are right, too.
var rightCodes = map[string][]int{
	"":       {exitDone, exitPartly},
	"doctor": {exitFailed}, // it has found something
}

// elsewhere are verbs whose examples are run by other tests.
var elsewhere = map[string]string{"demo": "TestDemo"}

// endless are examples that go on until their user interrupts them. They have something to show,
// or to write, at once.
var endless = regexp.MustCompile(`events -f|curl .* -N `)

// changes are examples that change the balancer, which are run one after the other.
var changes = regexp.MustCompile(`afxlb (backend|reload)|POST|curl .* -d`)

// examplesAtOnce are run at a time: most wait.
const examplesAtOnce = 4

// Every example of README, docs and help does what it should, at a balancer that was started by
// the first one of all.
func TestFieldExamples(t *testing.T) {
	s := newSandbox(t)
	all := verbs()
	start := examplesOf(all[0])[0]
	p := &process{Cmd: s.shell("exec " + start.line), t: t, api: api.NewClient(filepath.Join(s.dir, "run/afxlb/afxlb.sock")), ended: make(chan struct{})}
	p.Stdout, p.Stderr = p, p
	p.launch(s.world, []string{start.line})
	p.await("serve", func(st api.Status) bool { return st.State == "serving" && st.Backends.Up == 3 })
	if err := s.use(); err != nil {
		t.Fatal(err)
	}
	var list []example
	for _, c := range all {
		list = append(list, examplesOf(c)...)
	}
	for name, text := range documents(t) {
		list = append(list, examplesIn(name, text)...)
	}
	seen := map[string]bool{start.line: true}
	slots := make(chan struct{}, examplesAtOnce)
	var running sync.WaitGroup
	for _, e := range list {
		verb := ""
		if m := regexp.MustCompile(`afxlb (\S+)`).FindStringSubmatch(e.line); m != nil {
			verb = m[1]
		}
		if seen[e.line] || elsewhere[verb] != "" {
			continue
		}
		seen[e.line] = true
		c, right := s.shell(e.line), slices.Concat(rightCodes[""], rightCodes[verb])
		if changes.MatchString(e.line) {
			running.Wait()
			s.run(e, c, right)
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			s.run(e, c, right)
			<-slots
		})
	}
	running.Wait()
	if len(seen) < len(all) {
		t.Errorf("only %d examples of %d verbs", len(seen), len(all))
	}
	p.stop()
}

// use asks the service once.
func (s *sandbox) use() error {
	_, err := lab.Get(s.t.Context(), s.lab.Clients[0].HTTPClient(patience, false), fmt.Sprintf("http://%v/", s.vip))
	return err
}

// run runs an example, while somebody uses the service.
func (s *sandbox) run(e example, c *exec.Cmd, right []int) {
	out := &tail{}
	only := struct{ io.Writer }{out} // without the buffer's ReadFrom, which takes no lock
	c.Stdout, c.Stderr = only, only
	if err := s.lab.Balancer.Start(c); err != nil {
		s.t.Error(err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Wait() // its state tells
	}()
	if err := s.use(); err != nil {
		s.t.Errorf("during %q: %v", e.line, err)
	}
	shows := time.NewTicker(poll)
	defer shows.Stop()
	for end := time.After(patience); ; {
		select {
		case <-done:
			if !slices.Contains(right, c.ProcessState.ExitCode()) {
				s.t.Errorf("%s: %q: %v\n%s", e.from, e.line, c.ProcessState, out.String())
			}
			return
		case <-shows.C:
			if endless.MatchString(e.line) && out.String() != "" {
				shows.Stop()
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT) // it may have ended
			}
		case <-end:
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-done
			s.t.Errorf("%s: %q does not end; is it one of those that go on until they are interrupted?\n%s", e.from, e.line, out.String())
			return
		}
	}
}

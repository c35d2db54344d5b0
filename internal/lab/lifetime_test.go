package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/internal/testutil"
)

// roleEnv makes this test binary play a child's part.
const roleEnv = "AFXLB_LAB_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "waiter":
		waiter()
	case "owner":
		owner()
	}
}

// waiter tells which address it sees, and stays.
func waiter() {
	i, err := net.InterfaceByName(Interface)
	if err != nil {
		fmt.Println(err)
		return
	}
	addrs, _ := i.Addrs()
	for _, a := range addrs {
		fmt.Println(netip.MustParsePrefix(a.String()).Addr())
		break
	}
	time.Sleep(10 * time.Minute) // until killed
}

// owner builds a lab with a waiter in it, tells the namespaces, and stays.
func owner() {
	l, err := New(Options{Backends: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := role("waiter")
	c.Stdout = os.Stdout
	if err := l.Backends[1].Start(c); err != nil {
		fmt.Println(err)
		return
	}
	for name := range namespaces("self") {
		fmt.Println(name)
	}
	time.Sleep(10 * time.Minute) // until killed
}

func role(name string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleEnv+"="+name)
	return c
}

// namespaces returns the network namespaces that a process holds, or all do ("*").
func namespaces(pid string) map[string]bool {
	found := map[string]bool{}
	for _, pattern := range []string{"/proc/" + pid + "/fd/*", "/proc/" + pid + "/task/*/ns/net"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if to, err := os.Readlink(p); err == nil && strings.HasPrefix(to, "net:") {
				found[to] = true
			}
		}
	}
	return found
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCloseLeavesNothing(t *testing.T) {
	testutil.RequireRoot(t)
	before, files := namespaces("self"), openFiles(t)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Backends[0].HTTPServer(":80", "a"); err != nil {
		t.Fatal(err)
	}
	if err := l.Backends[0].UDPEcho(":53", "a"); err != nil {
		t.Fatal(err)
	}
	c := l.Balancer.HTTPClient(5*time.Second, true)
	if _, err := Get(t.Context(), c, "http://"+BackendAddr(0).String()+"/"); err != nil {
		t.Fatal(err)
	}
	if n := len(namespaces("self")); n != len(before)+4 {
		t.Errorf("%d namespaces with a lab of four hosts, %d without", n, len(before))
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	goleak.VerifyNone(t)
	if now := openFiles(t); now > files {
		t.Errorf("%d open files, %d before", now, files)
	}
	if now := namespaces("self"); len(now) != len(before) {
		t.Errorf("namespaces held by this process: %v, before %v", now, before)
	}
}

// A lab goes with its process, also when that has no chance to clean up: the pipe
// ends when the last who holds it has ended, and nobody holds a namespace then.
func TestSIGKILLLeavesNothing(t *testing.T) {
	testutil.RequireRoot(t)
	c := role("owner")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// It says its five namespaces and ours, the waiter says its address.
	ours, theirs, runs := namespaces("self"), []string{}, false
	lines := bufio.NewScanner(out)
	for (len(theirs) < 5 || !runs) && lines.Scan() {
		switch line := lines.Text(); {
		case line == BackendAddr(1).String():
			runs = true
		case ours[line]:
		case strings.HasPrefix(line, "net:"):
			theirs = append(theirs, line)
		default:
			t.Errorf("owner says %q", line)
		}
	}
	if len(theirs) != 5 || !runs {
		t.Errorf("namespaces %v, child runs: %v", theirs, runs)
	}
	if all := namespaces("*"); len(theirs) > 0 && !all[theirs[0]] {
		t.Errorf("%v is not seen while its owner lives: the test below could not fail", theirs[0])
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := out.(*os.File).SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Errorf("the owner's child lives on: %v", err)
	}
	_ = c.Wait() // killed
	all := namespaces("*")
	for _, name := range theirs {
		if all[name] {
			t.Errorf("%s lives on", name)
		}
	}
}

func TestChildDiesWithTheHost(t *testing.T) {
	l := newLab(t, Options{})
	// Many goroutines' threads come and go: the child must not die with them.
	for range 20 {
		_ = l.Clients[0].Do(func() error { runtime.Goexit(); return nil })
	}
	c := role("waiter")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Clients[0].Start(c); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != ClientAddr(0).String() {
		t.Errorf("the child sees %q, %v; want %v", line, err, ClientAddr(0))
	}
	if err := l.Clients[0].Close(); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := c.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("child ended by %v, want killed", err)
	}
}

func TestClosedHost(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := NewHost("h")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	_, dial := h.Dial(t.Context(), "udp", "127.0.0.1:9")
	_, serve := h.HTTPServer(":80", "a")
	for what, err := range map[string]error{
		"do":    h.Do(func() error { t.Error("ran outside of the namespace"); return nil }),
		"start": h.Start(role("waiter")), "dial": dial, "serve": serve,
		"echo": h.UDPEcho(":53", "a"), "sysctl": h.Sysctl("net/ipv4/ip_forward", "0"),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s on a closed host: %v", what, err)
		}
	}
}

// Clients' transports dial on goroutines that nobody waits for.
func TestCloseDuringDials(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := NewHost("h")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.HTTPServer("127.0.0.1:80", "a"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range cap(begun) {
		all.Go(func() {
			for {
				c, err := h.Dial(context.Background(), "tcp", "127.0.0.1:80")
				select {
				case begun <- struct{}{}:
				default:
				}
				switch {
				case err == nil:
					c.Close()
				case errors.Is(err, net.ErrClosed):
					return
				case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
					// The server ends before the namespace does.
				default:
					t.Errorf("dial on a host that closes: %v", err)
					return
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// Whatever a function does to its thread's goroutine, the caller hears of it, and
// no goroutine of others is ever in the wrong namespace.
func TestDo(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := NewHost("h")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	home := interfaces(t)
	oops := errors.New("oops")
	for range 10 {
		if err := h.Do(func() error { return oops }); err != oops {
			t.Errorf("got %v, want the function's own error", err)
		}
		if err := h.Do(func() error { runtime.Goexit(); return nil }); err == nil {
			t.Error("no error from a function that never returned")
		}
		var inside string
		if err := h.Do(func() error { inside = interfaces(t); return nil }); err != nil || inside != "lo" {
			t.Errorf("inside there are %q, %v", inside, err)
		}
		if now := interfaces(t); now != home {
			t.Fatalf("outside there are %q, before %q", now, home)
		}
	}
}

// interfaces names those of the namespace that the caller is in.
func interfaces(t *testing.T) string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Error(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

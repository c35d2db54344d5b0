package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/internal/testutil"
)

func newLab(t *testing.T, o Options) *Lab {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// All hosts of one network hear each other; what has to pass the balancer does
// not get through without one.
func TestReachability(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.10")
	l := newLab(t, Options{Clients: 2, Backends: 2, Queues: 2, VIPs: []netip.Addr{vip}})
	for i, h := range l.Backends {
		if _, err := h.HTTPServer(":8080", fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	reach := func(from *Host, addr netip.Addr) error {
		_, err := Get(t.Context(), from.HTTPClient(time.Second, false), fmt.Sprintf("http://%s/", netip.AddrPortFrom(addr, 8080)))
		return err
	}
	for i := range l.Backends {
		for _, a := range []netip.Addr{BackendAddr(i), BackendAddr6(i)} {
			if err := reach(l.Balancer, a); err != nil {
				t.Errorf("balancer → %v: %v", a, err)
			}
		}
	}
	if err := reach(l.Clients[0], vip); err == nil {
		t.Error("a client reaches the VIP without a balancer: somebody forwards, or answers ARP for it")
	}
	if err := reach(l.Clients[0], BackendAddr(0)); err == nil {
		t.Error("a client has a conversation with a backend: its replies should go to the balancer, which forwards nothing")
	}
}

// The standard library's files and goroutines must be back where they were.
func TestNothingIsLeft(t *testing.T) {
	testutil.RequireRoot(t)
	before, files := namespaces(t), openFiles(t)
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
	if n := len(namespaces(t)); n < len(before)+4 {
		t.Errorf("%d namespaces with a lab, %d without", n, len(before))
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
	if now := namespaces(t); len(now) != len(before) {
		t.Errorf("namespaces held by this process: %v, before %v", now, before)
	}
}

// namespaces lists the network namespaces that this process holds.
func namespaces(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, pattern := range []string{"/proc/self/fd/*", "/proc/self/task/*/ns/net"} {
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

func TestChildRunsInsideAndDiesWithTheHost(t *testing.T) {
	l := newLab(t, Options{})
	if os.Getenv("LAB_CHILD") != "" {
		t.Skip("is the child")
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestHelperChild$")
	c.Env = append(os.Environ(), "LAB_CHILD=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Clients[0].Start(c); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil || strings.TrimSpace(string(line[:n])) != ClientAddr(0).String() {
		t.Errorf("the child sees %q, %v; want %v", line[:n], err, ClientAddr(0))
	}
	if err := l.Clients[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("child ended by %v, want killed", err)
	}
}

// TestHelperChild is the child of the test above: it tells its address and waits.
func TestHelperChild(t *testing.T) {
	if os.Getenv("LAB_CHILD") == "" {
		return
	}
	i, err := net.InterfaceByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	addrs, _ := i.Addrs()
	p := netip.MustParsePrefix(addrs[0].String())
	fmt.Println(p.Addr())
	<-make(chan int)
}

func TestHTTPServerDiesAndReturns(t *testing.T) {
	l := newLab(t, Options{})
	s, err := l.Backends[0].HTTPServer(":8080", "one")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s", netip.AddrPortFrom(BackendAddr(0), 8080))
	c := l.Balancer.HTTPClient(5*time.Second, true)
	if got, err := Get(t.Context(), c, url+"/"); got != "one" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	s.Kill()
	if _, err := Get(t.Context(), c, url+"/"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dead server: %v, want refused", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	const n = 1 << 20
	got, err := Get(t.Context(), c, fmt.Sprint(url, "/big?n=", n))
	want, _ := io.ReadAll(io.LimitReader(&Stream{}, n))
	if err != nil || got != string(want) {
		t.Errorf("/big: %d bytes, %v", len(got), err)
	}
	if bytes.Equal(want[:4096], want[4096:8192]) {
		t.Error("the stream repeats itself: a lost block would not show")
	}
}

func TestUDPEcho(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.Backends[0].UDPEcho(":53", "one"); err != nil {
		t.Fatal(err)
	}
	c, err := l.Balancer.Dial(context.Background(), "udp", netip.AddrPortFrom(BackendAddr6(0), 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "hello")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 64)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "one hello" {
		t.Errorf("%q %v", b[:n], err)
	}
}

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/afxlb/afxlb/balancer"
)

// compareAddresses lets go-cmp look at netip's opaque types.
var compareAddresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// TestWrongFiles holds every file of testdata/wrong against its own comments:
// each problem stands behind `#!` on the line that it must be reported for.
func TestWrongFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i, line := range strings.Split(string(data), "\n") {
				if strings.HasPrefix(line, "# ") {
					continue
				}
				for _, problem := range strings.Split(line, "#!")[1:] {
					want = append(want, fmt.Sprintf("%s:%d: %s", path, i+1, strings.TrimSpace(problem)))
				}
			}
			_, err = Load(path)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("Load: %v, want Problems", err)
			}
			if diff := cmp.Diff(want, strings.Split(problems.Error(), "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWindowsLineEnds: files come from all kinds of editors.
func TestWindowsLineEnds(t *testing.T) {
	c, err := Parse("f", []byte("interface: eth0\r\ndriver: asavie\r\nservices: []\r\n"))
	if err != nil || c.Interfaces.String() != "eth0" || c.Driver != DriverAsavie {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = Parse("f", []byte("interface: eth0\r\n\r\ndriver: x\r\nservices: []\r\n"))
	if err == nil || err.Error() != `f:3: driver: unknown driver "x"; want native or asavie` {
		t.Errorf("got %v, want the problem of line 3", err)
	}
}

func TestLoadOfUnreadableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(path)
	var problems Problems
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &problems) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load of no file: %v, want the operating system's error with the path", err)
	}
}

func TestSmallestFile(t *testing.T) {
	got, err := Parse("f", []byte("services: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Spec.Services = []balancer.ServiceSpec{}
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("a file that says nothing (-default +got):\n%s", diff)
	}
	product := Config{
		XDPMode: "auto", Driver: "native", Poll: "adaptive", StateFile: "/var/lib/afxlb/state.json", Listen: "127.0.0.1:9190",
		Log: Log{"info", "console"},
		Conntrack: Conntrack{1_000_000, Timeouts{
			10 * time.Second, 15 * time.Minute, 2 * time.Minute, 10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Second,
		}},
	}
	if diff := cmp.Diff(&product, Default(), compareAddresses); diff != "" {
		t.Errorf("defaults (-as the product promises +got):\n%s", diff)
	}
}

// TestEveryDaemonKey sets every key to something that is not its default.
func TestEveryDaemonKey(t *testing.T) {
	got, err := Parse("f", []byte(`
interfaces: [eth1, eth0]
queues: 5-7,0,2
cpus: 4,2,8-9
xdp-mode: zero-copy
driver: asavie
frame-size: 2048
poll: busy
state-file: /srv/state
listen: "[::1]:80"
api: {listen: "10.0.0.1:9191", cert: /etc/afxlb/cert.pem, key: /etc/afxlb/key.pem, client-ca: /etc/afxlb/ca.pem}
log: {level: debug, format: json}
conntrack:
  max-flows: 5000
  timeouts: {tcp-syn: 1s, tcp-established: 1h, tcp-fin-wait: 5s, tcp-closing: 2s, udp-new: 3s, udp-established: 4s, icmp: 100ms}
services: []
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Interfaces: InterfaceList{"eth1", "eth0"}, Queues: QueueList{5, 6, 7, 0, 2}, CPUs: CPUList{4, 2, 8, 9},
		XDPMode: XDPZeroCopy, Driver: DriverAsavie, FrameSize: 2048, Poll: PollBusy, StateFile: "/srv/state", Listen: "[::1]:80",
		API: API{"10.0.0.1:9191", "/etc/afxlb/cert.pem", "/etc/afxlb/key.pem", "/etc/afxlb/ca.pem"},
		Log: Log{"debug", "json"},
		Conntrack: Conntrack{5000, Timeouts{
			time.Second, time.Hour, 5 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 100 * time.Millisecond,
		}},
		Spec: balancer.Spec{Services: []balancer.ServiceSpec{}},
	}
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestListenForms(t *testing.T) {
	for _, ok := range []string{":9190", "localhost:9190", "0.0.0.0:80", "[2001:db8::1]:80", "127.0.0.1:0"} {
		if _, err := ParseListen(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "9190", "127.0.0.1", "example.com:80", "::1:80", "127.0.0.1:http", "127.0.0.1:65536"} {
		if got, err := ParseListen(bad); err == nil {
			t.Errorf("ParseListen(%q) = %q, want an error", bad, got)
		}
	}
}

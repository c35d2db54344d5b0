package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

// TestVerifierComplexity leaves a wide margin to the verifier's limit of a
// million instructions: older kernels prune less.
func TestVerifierComplexity(t *testing.T) {
	testutil.RequireRoot(t)
	spec, err := loadSteer()
	if err != nil {
		t.Fatal(err)
	}
	var o steerObjects
	err = spec.LoadAndAssign(&o, &ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer o.Close()

	log := o.Steer.VerifierLog
	var processed int
	_, stats, _ := strings.Cut(log, "processed ")
	if _, err := fmt.Sscanf(stats, "%d insns", &processed); err != nil {
		t.Fatalf("no statistics in the verifier's log: %v\n%s", err, log)
	}
	t.Logf("%d instructions; the verifier's log: %s", len(spec.Programs[steerProgSteer].Instructions), log)
	if processed > 100_000 {
		t.Errorf("the verifier walked %d instructions: too close to its limit of a million", processed)
	}
}

// helpers are the kernel's functions that the program calls: all are in Linux 5.12.
var helpers = map[int64]string{
	1: "bpf_map_lookup_elem", 2: "bpf_map_update_elem", 3: "bpf_map_delete_elem", 51: "bpf_redirect_map",
	85: "bpf_sk_lookup_udp", 86: "bpf_sk_release", 99: "bpf_skc_lookup_tcp",
}

// TestObject: the object states the licence that its socket look-ups need, asks for
// nothing that depends on the kernel it runs on, and tells nothing of where it was
// built.
func TestObject(t *testing.T) {
	spec, err := loadSteer()
	if err != nil {
		t.Fatal(err)
	}
	program := spec.Programs[steerProgSteer]
	if program.License != "GPL" {
		t.Errorf("licence %q", program.License)
	}
	if program.Type != ebpf.XDP {
		t.Errorf("type %s", program.Type)
	}
	for i, ins := range program.Instructions {
		if ins.IsBuiltinCall() && helpers[ins.Constant] == "" {
			t.Errorf("instruction %d calls helper %d, which is none of %v", i, ins.Constant, helpers)
		}
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	for _, place := range []string{folder, "/home/", "/tmp/", "/usr/", home + "/"} {
		if place != "/" && bytes.Contains(_SteerBytes, []byte(place)) {
			t.Errorf("the object names %s", place)
		}
	}
}

// withCapabilities runs f on a thread that has only these, in the test's network
// namespace, and ends the thread.
func withCapabilities(t *testing.T, capabilities []int, f func()) {
	t.Helper()
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else gets this thread
		var sets [2]unix.CapUserData
		for _, c := range capabilities {
			sets[c/32].Effective |= 1 << (c % 32)
			sets[c/32].Permitted |= 1 << (c % 32)
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		err := netns.Set(ns)
		if err == nil {
			err = unix.Capset(&header, &sets[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("drop capabilities: %v", err)
	}
}

// TestPrivileges: these three are enough for all, and an error names those that
// are missing.
func TestPrivileges(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	all := map[string]int{"CAP_BPF": unix.CAP_BPF, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_PERFMON": unix.CAP_PERFMON}
	for name := range all {
		var others []int
		for other, c := range all {
			if other != name {
				others = append(others, c)
			}
		}
		withCapabilities(t, others, func() {
			p, err := Load(Config{})
			if err == nil {
				p.Close()
			}
			if !errors.Is(err, fs.ErrPermission) || !strings.HasSuffix(err.Error(), "(missing: "+name+")") {
				t.Errorf("without %s: %v", name, err)
			}
		})
	}
	withCapabilities(t, nil, func() {
		if _, err := Load(Config{}); !errors.Is(err, fs.ErrPermission) || !strings.HasSuffix(err.Error(), "(missing: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)") {
			t.Errorf("without any: %v", err)
		}
	})
	work := func() error {
		p, err := Load(Config{})
		if err != nil {
			return err
		}
		defer p.Close()
		if err := p.Apply(plan(t, testSteering())); err != nil {
			return err
		}
		if _, err := p.Counters(); err != nil {
			return err
		}
		_, err = p.Attach(v0.Attrs().Index)
		return err
	}
	withCapabilities(t, slices.Collect(maps.Values(all)), func() {
		if err := work(); err != nil {
			t.Errorf("with all three: %v", err)
		}
	})
}

func TestLoadConfig(t *testing.T) {
	testutil.RequireRoot(t)
	for _, c := range []Config{{Queues: -1}, {Limits: Limits{-1, 1}}, {Limits: Limits{1, -1}}, {Limits: Limits{Ports: 1}}} {
		if p, err := Load(c); err == nil {
			p.Close()
			t.Errorf("%+v: no error", c)
		}
	}
	newNamespace(t)
	v0, _ := newVeth(t)
	socket := bindSocket(t, v0, 0)
	p := load(t, Config{Queues: 3}, Steering{})
	for queue, ok := range map[int]bool{-1: false, 0: true, 2: true, 3: false, 1 << 40: false} {
		err := p.SetSocket(queue, socket.fd)
		if (err == nil) != ok {
			t.Errorf("queue %d of 3: %v", queue, err)
		}
		if err != nil && (!errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "0 to 2 (Config.Queues)")) {
			t.Errorf("queue %d of 3: %v does not say the limit", queue, err)
		}
		for range 2 { // the second finds none
			if err := p.ClearSocket(queue); (err == nil) != ok {
				t.Errorf("clear queue %d of 3: %v", queue, err)
			}
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := p.SetSocket(0, int(file.Fd())); err == nil {
		t.Error("a file that is no socket was taken")
	}
}

package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// familiesEnv has the address families, by number, that the process may have sockets of.
const familiesEnv = "AFXLB_TEST_FAMILIES"

// restrictFamilies does what systemd does for RestrictAddressFamilies=: of other families
// the kernel has no sockets for any thread of this process (systemd.exec(5)).
func restrictFamilies(list string) error {
	const number, argument = 0, 16 // in struct seccomp_data of include/uapi/linux/seccomp.h; the low half of the first
	load, equal, giveBack := uint16(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS), uint16(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K), uint16(unix.BPF_RET|unix.BPF_K)
	allow := unix.SockFilter{Code: giveBack, K: unix.SECCOMP_RET_ALLOW}
	program := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_SOCKET, Jt: 1},
		allow,
		{Code: load, K: argument},
	}
	for family := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(family)
		if err != nil {
			return err
		}
		program = append(program, unix.SockFilter{Code: equal, K: uint32(n), Jf: 1}, allow)
	}
	program = append(program, unix.SockFilter{Code: giveBack, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	all := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&all)))
	if errno != 0 {
		return fmt.Errorf("restrict the families of sockets: %w", errno)
	}
	return nil
}

// capabilitiesEnv has the capabilities, by number, that the process may have.
const capabilitiesEnv = "AFXLB_TEST_CAPABILITIES"

// restrictCapabilities does what systemd does for CapabilityBoundingSet= and LimitMEMLOCK=infinity:
// it starts this program once more, which then has these capabilities and no others, though it is
// root's (capabilities(7)). Where root may not raise the limit, CAP_IPC_LOCK is for it. If there is
// to be an image, it starts the program in there.
func restrictCapabilities(list string) error {
	keep, program := strings.Split(list, ","), "/proc/self/exe"
	if image := os.Getenv(imageEnv); image != "" {
		program = "/afxlb"
		if err := enterImage(image); err != nil {
			return err
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		keep = append(keep, strconv.Itoa(unix.CAP_IPC_LOCK))
	}
	runtime.LockOSThread()
	for c := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(keep, strconv.Itoa(c)) {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
	}
	if err := os.Unsetenv(capabilitiesEnv); err != nil {
		return err
	}
	return unix.Exec(program, os.Args, os.Environ())
}

// imageEnv has the folder that is the root of the program's files.
const imageEnv = "AFXLB_TEST_IMAGE"

// enterImage makes the folder the root, with what every container has besides its image. The
// process has a mount namespace of its own.
func enterImage(dir string) error {
	for _, name := range []string{"/proc", "/sys", "/dev/net/tun"} {
		if err := unix.Mount(name, dir+name, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("put %s into the image: %w", name, err)
		}
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	return os.Chdir("/")
}

// capabilityNumbers are of those that the unit may name.
var capabilityNumbers = map[string]int{
	"CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW,
}

// unitSays returns the words of a line of the packaged unit.
func unitSays(t *testing.T, key string) []string {
	t.Helper()
	unit, err := os.ReadFile("../../packaging/afxlb.service")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(unit)
	if line == nil {
		t.Fatalf("the unit has no %s", key)
	}
	return strings.Fields(string(line[1]))
}

// unitCapabilities returns those that the packaged unit leaves but for one, for capabilitiesEnv.
func unitCapabilities(t *testing.T, without string) string {
	t.Helper()
	var list []string
	for _, name := range unitSays(t, "CapabilityBoundingSet") {
		n, known := capabilityNumbers[name]
		if !known {
			t.Fatalf("the unit's %s is not known here", name)
		}
		if name != without {
			list = append(list, strconv.Itoa(n))
		}
	}
	return strings.Join(list, ",")
}

// unitFamilies returns those that the packaged unit leaves, for familiesEnv.
func unitFamilies(t *testing.T) string {
	t.Helper()
	numbers := map[string]int{
		"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK,
		"AF_PACKET": unix.AF_PACKET, "AF_XDP": unix.AF_XDP,
	}
	var list []string
	for _, name := range unitSays(t, "RestrictAddressFamilies") {
		n, known := numbers[name]
		if !known {
			t.Fatalf("the unit's %s is not known here", name)
		}
		list = append(list, strconv.Itoa(n))
	}
	return strings.Join(list, ",")
}

const pingHealth = "health: {type: icmp, " + quickly + "},"

// The packaged unit leaves what serving takes: with its capabilities, and sockets of its families
// only, every backend is asked all that is to be asked, and a queue without a TX queue is served.
// And it leaves no more: each capability that it lacked would be named.
func TestFieldUnit(t *testing.T) {
	if bounding, ambient := unitSays(t, "CapabilityBoundingSet"), unitSays(t, "AmbientCapabilities"); !slices.Equal(bounding, ambient) {
		t.Errorf("the unit may have the capabilities %v, and has %v", bounding, ambient)
	}
	w := newWorld(t)
	w.plug(2, 2, 1)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "announce: local, "+quickHealth),
		service("direct", dsrVIP4, "dsr", "tcp", "announce: arp, "+quickHealth), service("direct6", dsrVIP6, "dsr", "tcp", "announce: arp, "+quickHealth),
		service("ping", natVIP6, "nat", "tcp", pingHealth))
	w.setenv(familiesEnv, unitFamilies(t))
	w.setenv(capabilitiesEnv, unitCapabilities(t, ""))
	p := w.serve(config)
	s := p.await("serve all", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == s.Backends.Total })
	w.awaitHolder("afxlb0", natVIP4)
	w.awaitHolder(lab.Interface, dsrVIP4, dsrVIP6)
	w.mustAnswer(4, dsrVIP4)
	w.mustAnswer(4, dsrVIP6)
	p.stays(time.Second, "served", func(s api.Status) bool { return s.Backends.Up == s.Backends.Total })
	for _, code := range []string{"probes", "punt", "announce-failed", "address-conflict"} {
		if text := warned(s, code); text != "" {
			t.Errorf("%s: %s", code, text)
		}
	}
	for _, name := range []string{"direct", "direct6", "ping"} {
		list, err := p.api.Backends(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			if b.Check != "ok" {
				t.Errorf("%s of %s: %q", b.Name, name, b.Check)
			}
		}
	}
	for range 4 {
		w.mustAnswer(5, natVIP4)
		w.mustAnswer(5, dsrVIP4)
	}
	p.stop()
	for _, name := range unitSays(t, "CapabilityBoundingSet") {
		w.setenv(capabilitiesEnv, unitCapabilities(t, name))
		p := w.start(nil, "--config", config)
		if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), name) {
			t.Errorf("without %s: exit code %d, want %d and its name:\n%s", name, code, exitMachine, p.output())
		}
	}
}

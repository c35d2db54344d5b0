package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
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

// unitFamilies returns those that the packaged unit leaves, for familiesEnv.
func unitFamilies(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile("../../packaging/afxlb.service")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^RestrictAddressFamilies=(.*)$`).FindSubmatch(unit)
	if line == nil {
		t.Fatal("the unit restricts no families")
	}
	numbers := map[string]int{
		"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK,
		"AF_PACKET": unix.AF_PACKET, "AF_XDP": unix.AF_XDP,
	}
	var list []string
	for _, name := range strings.Fields(string(line[1])) {
		n, known := numbers[name]
		if !known {
			t.Fatalf("the unit's %s is not known here", name)
		}
		list = append(list, strconv.Itoa(n))
	}
	return strings.Join(list, ",")
}

// The packaged unit leaves what serving takes: with sockets of its families only, every
// backend is asked all that is to be asked, and a queue without a TX queue is served.
func TestFieldUnitsAddressFamilies(t *testing.T) {
	w := newWorld(t)
	w.plug(2, 2, 1)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth),
		service("direct", dsrVIP4, "dsr", "tcp", quickHealth), service("direct6", dsrVIP6, "dsr", "tcp", quickHealth))
	t.Setenv(familiesEnv, unitFamilies(t))
	p := w.serve(config)
	s := p.await("serve all", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == s.Backends.Total })
	for _, code := range []string{"probes", "punt"} {
		if text := warned(s, code); text != "" {
			t.Errorf("%s: %s", code, text)
		}
	}
	for _, name := range []string{"direct", "direct6"} {
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
}

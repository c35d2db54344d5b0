package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// mustTell holds that a backend's want of an egress is told wherever somebody looks.
func (p *process) mustTell(name, why string) {
	p.t.Helper()
	p.await("call "+name+" unreachable", func(api.Status) bool { return p.backend("web", name).State == "unreachable" })
	if b := p.backend("web", name); !strings.Contains(b.Reason, why) {
		p.t.Errorf("the reason is %q, want %q", b.Reason, why)
	}
	p.await("warn of "+name, func(s api.Status) bool {
		return slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return w.Code == "unreachable" && strings.Contains(w.Text, why) && strings.Contains(w.Text, "web/"+name)
		})
	})
	if n := p.awaitLines(1, `WARN.*backend is unreachable.*"backend": "`+name+`".*`+why); n != 1 {
		p.t.Errorf("%d lines in the log for %s (%s), want 1", n, name, why)
	}
}

// withBackend is a service of b0 and another one.
func withBackend(name string, address netip.Addr, mode, health string) string {
	vip := natVIP4
	if mode == "dsr" {
		vip = dsrVIP4
	}
	return fmt.Sprintf("  - {name: web, address: %s, port: %d, mode: %s, %s backends: [{name: b0, address: %s}, {name: %s, address: %s}]}\n",
		vip, port, mode, health, lab.BackendAddr(0), name, address)
}

// C02: a backend that is reached by another NIC answers its checks, but no packet for
// it leaves by the served one. Nobody is sent there, and it is told.
func TestFieldBackendByAnotherInterface(t *testing.T) {
	w := newWorld(t)
	if err := w.lab.AddFar(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.lab.Far.HTTPServer(fmt.Sprint(":", port), "far"); err != nil {
		t.Fatal(err)
	}
	for _, health := range []string{quickHealth, "health: {type: none},"} {
		config := w.writeConfig("afxlb.yaml", withBackend("far", lab.FarAddr(), "nat", health))
		p := w.start(nil, "--config", config)
		p.mustTell("far", "route is by eth1")
		p.await("have the other", func(s api.Status) bool { return s.Backends.Up == 1 && s.Services.Up == 1 })
		if by := w.mustAnswer(20, natVIP4); by["b0"] != 20 {
			t.Errorf("answered by %v", by)
		}
		var code int
		var stderr string
		_ = w.lab.Balancer.Do(func() error { code, _, stderr = cli("check", "--here", config); return nil })
		if code != exitMachine || !strings.Contains(stderr, "services[0].backends[1]") || !strings.Contains(stderr, "route is by eth1") {
			t.Errorf("check --here: exit code %d, %q", code, stderr)
		}
		if n := p.counter("packets", "no-neighbour"); n != 0 {
			t.Errorf("%d packets had nowhere to go", n)
		}
		p.stop()
	}
}

// C03: the balancer's own address as a backend.
func TestFieldBackendIsTheBalancer(t *testing.T) {
	w := newWorld(t)
	if _, err := w.lab.Balancer.HTTPServer(fmt.Sprint(":", port), "self"); err != nil {
		t.Fatal(err)
	}
	for mode, vip := range map[string]netip.Addr{"nat": natVIP4, "dsr": dsrVIP4} {
		p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", withBackend("self", own4, mode, quickHealth)))
		p.mustTell("self", "own address")
		p.await("have the other", func(s api.Status) bool { return s.Backends.Up == 1 })
		if by := w.mustAnswer(20, vip); by["b0"] != 20 {
			t.Errorf("%s: answered by %v", mode, by)
		}
		p.stop()
	}
}

// What else a machine could tell of a file before a start.
func TestCheckHere(t *testing.T) {
	w := newWorld(t)
	here := func(text string) (code int, stderr string) {
		path := w.writeConfig("here.yaml", text)
		_ = w.lab.Balancer.Do(func() error { code, _, stderr = cli("check", "--here", path); return nil })
		return code, stderr
	}
	good := service("web", natVIP4, "nat", "tcp", "")
	if code, stderr := here(good); code != exitDone || stderr != "" {
		t.Errorf("a file that can be served: exit code %d, %q", code, stderr)
	}
	for name, c := range map[string]struct{ text, want string }{
		"queue":             {good + "queues: 9\n", "no queue 9"},
		"dsr over a router": {fmt.Sprintf("  - {name: far, address: %s, port: 80, mode: dsr, backends: [{address: 203.0.113.9}]}\n", dsrVIP4), "no route"},
	} {
		if code, stderr := here(c.text); code != exitMachine || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", name, code, stderr, c.want)
		}
	}
	unknown := "  - {name: far, address: 192.0.2.77, port: 80, backends: [{address: 203.0.113.9}]}\n"
	if code, stderr := here(good + unknown); code != exitMachine || !strings.Contains(stderr, "no route") {
		t.Errorf("a backend without a route: exit code %d, %q", code, stderr)
	}
	if code, stderr := here(good + unknown + "neighbours: {203.0.113.9: 02:00:00:00:00:77}\n"); code != exitDone {
		t.Errorf("a backend whose next hop the file names: exit code %d, %q", code, stderr)
	}
	if code, stderr := here(good + "cpus: 98,99\n"); code != exitUsage || !strings.Contains(stderr, "CPU 98") {
		t.Errorf("CPUs that there are not: exit code %d, %q", code, stderr)
	}
	link, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Balancer.Netlink().LinkSetMTU(link, 9001); err != nil {
		t.Fatal(err)
	}
	if code, stderr := here(good); code != exitMachine || !strings.Contains(stderr, "MTU of 9001") {
		t.Errorf("MTU 9001: exit code %d, %q", code, stderr)
	}
}

// What it tells of the interface and of the machine. A balancer that is at work already
// does not stand in its own way.
func TestCheckHereOfTheMachine(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("here.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	direct := w.writeConfig("dsr.yaml", service("web", dsrVIP4, "dsr", "tcp", quickHealth))
	expect := func(what, path string, code int, want string) {
		t.Helper()
		_ = w.lab.Balancer.Do(func() error {
			got, _, stderr := cli("check", "--here", path)
			if got != code || !strings.Contains(stderr, want) || want == "" && stderr != "" {
				t.Errorf("%s: exit code %d, want %d and %q:\n%s", what, got, code, want, stderr)
			}
			return nil
		})
	}
	p := w.serve(config)
	expect("while it is served", config, exitDone, "")
	p.stop()

	link, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "other", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for fd, want := range map[int]string{other.FD(): "eth0: another XDP program is attached: other;", -1: ""} {
		set := func() error { return netlink.LinkSetXdpFdWithFlags(link, fd, unix.XDP_FLAGS_SKB_MODE) }
		if err := w.lab.Balancer.Do(set); err != nil {
			t.Fatal(err)
		}
		expect("a program", config, map[bool]int{true: exitDone, false: exitMachine}[want == ""], want)
	}
	if err := w.lab.Balancer.SetLink(lab.Interface, false); err != nil {
		t.Fatal(err)
	}
	expect("an interface that is down", config, exitMachine, "eth0: the interface is down (ip link set eth0 up)")

	queues := runtime.NumCPU() + 1
	w.plug(queues, queues, queues)
	expect("few CPUs", config, exitDone, fmt.Sprintf("warning: eth0: the workers of %d queues (0, ", queues))
	w.plug(1, 1, 1)
	for path, want := range map[string]string{config: "warning: what backends of nat services send", direct: ""} {
		apart := w.startApart(&syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}, "mount -t tmpfs none /dev/net", "check", "--here", path)
		if code := apart.exit(); code != exitDone || strings.Contains(apart.output(), "/dev/net/tun") != (want != "") || !strings.Contains(apart.output(), want) {
			t.Errorf("%s without /dev/net/tun: exit code %d, want %q:\n%s", path, code, want, apart.output())
		}
	}
	replaceInFile(t, config, "interface: eth0", "interface: lo")
	expect("a loopback", config, exitMachine, "lo is a loopback")
}

// C04: the addresses are on a device above the served one, which the routes lead by. Frames
// leave by the served one, as the kernel's own would.
func TestFieldAddressesOnAnUpperDevice(t *testing.T) {
	for name, move := range map[string]func(*lab.Host) error{
		"br0": func(h *lab.Host) error { return h.AddBridge("br0") },
		"mv0": func(h *lab.Host) error { return h.AddMacvlan("mv0") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := move(w.lab.Balancer); err != nil {
				t.Fatal(err)
			}
			upper, err := w.lab.Balancer.Netlink().LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			w.knowRouterBy(upper.Attrs().HardwareAddr)
			config := w.writeConfig("afxlb.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth),
				service("dsr4", dsrVIP4, "dsr", "tcp", quickHealth), service("dsr6", dsrVIP6, "dsr", "tcp", quickHealth))
			p := w.serve(config)
			for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
				if by := w.mustAnswer(6, vip); len(by) != 3 {
					t.Errorf("%s is answered by %v", vip, by)
				}
			}
			var code int
			var stderr string
			_ = w.lab.Balancer.Do(func() error { code, _, stderr = cli("check", "--here", config); return nil })
			if code != exitDone {
				t.Errorf("check --here: exit code %d, %q", code, stderr)
			}
			p.stop()
		})
	}
}

// C29: an address that means something only together with an interface is refused.
func TestFieldLinkLocal(t *testing.T) {
	for _, c := range []struct{ vip, backend, path string }{
		{"2001:db8:2::10", "fe80::11", "services[0].backends[0].address"},
		{"fe80::10", "2001:db8:10::11", "services[0].address"},
		{"192.0.2.10", "169.254.0.11", "services[0].backends[0].address"},
		{"169.254.0.10", "10.0.0.11", "services[0].address"},
	} {
		path := write(t, fmt.Sprintf("services:\n  - {name: web, address: %q, port: 80, backends: [{address: %q}]}\n", c.vip, c.backend))
		if code, _, stderr := cli("check", path); code != exitUsage || !strings.Contains(stderr, ":2: "+c.path+": ") || !strings.Contains(stderr, "link-local") {
			t.Errorf("%s and %s: exit code %d, %q", c.vip, c.backend, code, stderr)
		}
	}
}

// C32: a backend for which nobody answers ARP or neighbour discovery is not in
// rotation, though it is not probed.
func TestFieldNobodyAnswersForTheAddress(t *testing.T) {
	w := newWorld(t)
	absent4, absent6 := lab.BackendAddr(99), lab.BackendAddr6(99)
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", withBackend("absent", absent4, "nat", "health: {type: none},"),
		fmt.Sprintf("  - {name: web6, address: %q, port: %d, health: {type: none}, backends: [{name: b0, address: %q}, {name: absent, address: %q}]}\n",
			natVIP6, port, lab.BackendAddr6(0), absent6)))
	p.await("serve", func(s api.Status) bool { return s.Services.Up == 2 })
	for _, vip := range []netip.Addr{natVIP4, natVIP6} { // from the start, before it is known
		if by := w.mustAnswer(12, vip); by["b0"] != 12 {
			t.Errorf("%v: answered by %v", vip, by)
		}
	}
	p.mustTell("absent", "no answer to ARP within 3s")
	p.await("tell of the other", func(s api.Status) bool {
		return slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return strings.Contains(w.Text, "no answer to neighbour discovery within 3s") && strings.Contains(w.Text, "web6/absent")
		})
	})
	w.mustAnswer(12, natVIP4)
	if n := p.counter("packets", "no-neighbour"); n != 0 {
		t.Errorf("%d packets had nowhere to go", n)
	}
	// Somebody takes the address: it is served without anybody's doing.
	if err := w.lab.Backends[1].AddAddrs(lab.Interface, netip.PrefixFrom(absent4, 24)); err != nil {
		t.Fatal(err)
	}
	p.await("find it", func(api.Status) bool { return p.backend("web", "absent").State == "up" })
	if by := w.mustAnswer(12, natVIP4); by["b1"] == 0 {
		t.Errorf("answered by %v", by)
	}
	p.stop()
}

// C28: the same client reaches the same server on all services with the same servers,
// whatever they are called, and two balancers with other names agree.
func TestFieldSameClientSameServer(t *testing.T) {
	w := newWorld(t)
	second := netip.MustParseAddr("192.0.2.11")
	for i, h := range w.lab.Backends {
		if _, err := h.HTTPServer(fmt.Sprint(":", 8081), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	nameless := func(name string, vip netip.Addr, target int) string {
		text := fmt.Sprintf("  - {name: %s, address: %s, port: %d, algorithm: source-hash, %s backends: [", name, vip, port, quickHealth)
		for _, i := range []int{2, 0, 1} {
			text += fmt.Sprintf("{address: %s, port: %d}, ", lab.BackendAddr(i), target)
		}
		return text + "]}\n"
	}
	p := w.serve(w.writeConfig("afxlb.yaml", nameless("http", natVIP4, port), nameless("https", second, 8081)))
	for i := range 12 { // as many clients
		a := lab.ClientAddr(100 + i)
		if err := w.lab.Clients[0].AddAddrs(lab.Interface, netip.PrefixFrom(a, 24)); err != nil {
			t.Fatal(err)
		}
		first, err := w.getFrom(a, natVIP4)
		if err != nil {
			t.Fatal(err)
		}
		other, err := w.getFrom(a, second)
		if err != nil || other != first {
			t.Errorf("%v reaches %s by one service and %s by the other: %v", a, first, other, err)
		}
	}
	p.stop()
}

// getFrom is get from an address that client 0 has besides its own.
func (w *world) getFrom(a, vip netip.Addr) (string, error) {
	h := w.lab.Clients[0]
	c := h.HTTPClient(patience, false)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = h.Do(func() error {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))}
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return lab.Get(w.t.Context(), c, url(vip, "/"))
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/lab"
)

// examine runs doctor in the balancer's namespace, and returns what it found by check.
func (w *world) examine(code int, args ...string) map[string]doctor.Finding {
	w.t.Helper()
	var got int
	var stdout, stderr string
	_ = w.lab.Balancer.Do(func() error {
		got, stdout, stderr = cli(append([]string{"doctor", "--json"}, args...)...)
		return nil
	})
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || got != code {
		w.t.Fatalf("doctor %q: exit code %d, want %d; %v\n%s%s", args, got, code, err, stdout, stderr)
	}
	found := map[string]doctor.Finding{}
	for _, f := range r.Findings {
		if f.Do == "" {
			w.t.Errorf("%s: %s, and nothing to do", f.Check, f.What)
		}
		found[f.Check] = f
	}
	return found
}

// mustHave holds what was found against what it is to be of: a severity and a part of the text.
func mustHave(t *testing.T, when string, found map[string]doctor.Finding, want map[string][2]string) {
	t.Helper()
	for check, c := range want {
		if f, ok := found[check]; !ok || string(f.Severity) != c[0] || !strings.Contains(f.Text(), c[1]) {
			t.Errorf("%s: %s is %+v, want %q", when, check, f, c)
		}
	}
	for check, f := range found {
		if _, ok := want[check]; !ok {
			t.Errorf("%s: %s is found, too: %s", when, check, f.Text())
		}
	}
}

// dropByRule has the balancer's nftables drop what is for an IPv4 address, or no more.
func (w *world) dropByRule(vip [4]byte, on bool) {
	w.t.Helper()
	if err := w.lab.Balancer.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"}
		if !on {
			c.DelTable(table)
			return c.Flush()
		}
		c.AddTable(table)
		chain := c.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: vip[:]}, &expr.Verdict{Kind: expr.VerdictDrop},
		}})
		return c.Flush()
	}); err != nil {
		w.t.Fatal(err)
	}
}

// doctor finds what is wrong with a machine, says what to do, and finds nothing any more when that
// is done; with a balancer that runs, it finds what that knows.
func TestFieldDoctor(t *testing.T) {
	w := newWorldOf(t, queues)
	b := w.lab.Balancer
	w.forward(b)
	links := b.Netlink()
	set := func(name, value string) {
		t.Helper()
		if err := b.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"all", lab.Interface, lab.Inner} {
		set("net/ipv4/conf/"+name+"/rp_filter", "0")
	}
	nat := service("web", natVIP4, "nat", "tcp", quickHealth)
	good := w.writePorts(nat, "state-file: none\n")
	none := filepath.Join(w.dir, "none.sock")
	mustHave(t, "at first", w.examine(exitDone, "--socket", none, "--config", good), nil)

	// What is wrong for want of something, each by itself.
	outside, onLink := entry("web", natVIP4, port, "", `{name: far, address: 172.16.0.1}`), entry("web", lab.ClientAddr(77), port, "", backendsOf(natVIP4)...)
	for name, c := range map[string]struct {
		config string
		args   []string
		code   int
		want   map[string][2]string
	}{
		"no route":           {w.write("route.yaml", onPorts(outside)), nil, exitMachine, map[string][2]string{"backends": {"cannot", "far of web at 172.16.0.1 is unreachable"}}},
		"nobody's address":   {w.write("vip.yaml", onPorts(onLink)), nil, exitFailed, map[string][2]string{"vip": {"warning", fmt.Sprint("ip address add ", lab.ClientAddr(77), "/32 dev eth0")}}},
		"too few queues":     {w.write("queues.yaml", onPorts(nat)+"queues: 0\n"), nil, exitMachine, map[string][2]string{"queues": {"cannot", "1 of 2 RX queues are not served (1)"}}},
		"no zero-copy":       {w.write("copy.yaml", onPorts(nat)+"xdp-mode: zero-copy\n"), nil, exitMachine, map[string][2]string{"zero-copy": {"cannot", "the driver veth has none"}}},
		"no such interface":  {good, []string{"--interface", "eth7"}, exitMachine, map[string][2]string{"site": {"cannot", "eth7"}}},
		"narrow to backends": {w.write("ipip.yaml", onPorts(service("web", natVIP4, "ipip", "tcp", ""))), nil, exitFailed, map[string][2]string{"tunnel-mtu": {"warning", "leaves packets of 1480 to b0, b1, b2"}}},
	} {
		mustHave(t, name, w.examine(c.code, append([]string{"--socket", none, "--config", c.config}, c.args...)...), c.want)
	}

	// What is wrong with the machine.
	left := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	left.Name = "afxlb-punt7"
	if err := links.LinkAdd(left); err != nil {
		t.Fatal(err)
	}
	w.setQueues(2, 1)
	set("net/ipv4/conf/"+lab.Inner+"/rp_filter", "1")
	set("net/ipv4/ip_forward", "0")
	w.dropByRule(natVIP4.As4(), true)
	machine := map[string][2]string{
		"rp-filter": {"warning", "eth1.rp_filter=2"}, "firewall": {"warning", "nft delete rule ip filter input handle"},
		"tx-queues": {"warning", "ethtool -L eth0 rx 2 tx 2"}, "forwarding": {"warning", "net.ipv4.ip_forward=1"},
	}
	alone := map[string][2]string{"leftovers": {"warning", "ip link delete afxlb-punt7"}}
	for check, c := range machine {
		alone[check] = c
	}
	mustHave(t, "a bad machine", w.examine(exitFailed, "--socket", none, "--config", good), alone)
	var text string
	_ = b.Do(func() error { _, text, _ = cli("doctor", "-v", "--socket", none, "--config", good); return nil })
	for _, want := range []string{"warning +rp-filter", "do +sysctl -w net.ipv4.conf.eth1.rp_filter=2", "ok +vip", "ok +privileges"} {
		if !regexp.MustCompile("(?m)^ +" + want).MatchString(text) {
			t.Errorf("the text has no %q:\n%s", want, text)
		}
	}

	// The daemon warns of what is the machine's, in its log and its status, and doctor asks it.
	p := w.newProcess(nil)
	p.Cmd.Dir, p.Cmd.Args = w.dir, append(p.Cmd.Args, "--config", filepath.Base(good)) // doctor, which asks for it, is elsewhere
	p.launch(w, p.Cmd.Args)
	p.await("serve and warn", func(s api.Status) bool {
		return s.State == "serving" && s.Backends.Up == 3 && warned(s, "rp-filter") != "" && warned(s, "firewall") != ""
	})
	p.awaitLines(1, "WARN.*rp_filter is 1")
	p.awaitLines(1, "WARN.*of nftables is for 192.0.2.10")
	mustHave(t, "beside a balancer", w.examine(exitFailed, "--socket", p.socket), machine)
	w.setQueues(2, 2)
	set("net/ipv4/conf/"+lab.Inner+"/rp_filter", "2")
	set("net/ipv4/ip_forward", "1")
	w.dropByRule(natVIP4.As4(), false)
	p.await("see that there are queues again", func(s api.Status) bool { return warned(s, "tx-queues") == "" })
	mustHave(t, "when all is mended", w.examine(exitDone, "--socket", p.socket), nil) // whatever the balancer says still, which looks once a minute
	if err := os.WriteFile(good, []byte(strings.Replace(onPorts(nat), "web", "shop", 1)+"state-file: none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f := w.examine(exitFailed, "--socket", p.socket)["file"]; !strings.Contains(f.Text(), "service shop changed") || !strings.Contains(f.Do, "afxlb reload") {
		t.Errorf("the file was changed: %+v", f)
	}

	// What a balancer leaves that is killed.
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.exit()
	if err := links.LinkDel(left); err != nil {
		t.Fatal(err)
	}
	mustHave(t, "after a crash", w.examine(exitFailed, "--socket", p.socket, "--config", good), map[string][2]string{"leftovers": {"warning", "nobody answers at " + p.socket}})
	if err := os.Remove(p.socket); err != nil {
		t.Fatal(err)
	}
	mustHave(t, "at last", w.examine(exitDone, "--socket", p.socket, "--config", good), nil)

	// Packets that are merged before a generic program has them.
	if err := errors.Join(b.AddBridge("br0"), b.SetFeature(lab.Interface, "rx-gro", true)); err != nil {
		t.Fatal(err)
	}
	generic := w.write("generic.yaml", onPorts(nat)+"xdp-mode: generic\n")
	mustHave(t, "a bridge", w.examine(exitMachine, "--socket", none, "--config", generic, "--interface", "br0,eth1"), map[string][2]string{"gro": {"cannot", "ethtool -K eth0 gro off"}})

	// What the process may not do.
	for says, capabilities := range map[string][]uintptr{
		"CAP_BPF":        {unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_PERFMON, unix.CAP_IPC_LOCK},
		"RLIMIT_MEMLOCK": {unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_PERFMON, unix.CAP_BPF},
	} {
		p := w.launchLimited(capabilities, func(attr *syscall.SysProcAttr) *process {
			p := w.newProcess(attr)
			p.Cmd.Args = []string{p.Cmd.Args[0], "doctor", "--socket", p.socket, "--config", good}
			p.launch(w, p.Cmd.Args)
			return p
		})
		if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), says) {
			t.Errorf("%s: exit code %d\n%s", says, code, p.output())
		}
	}
}

// write writes a file, and returns its path.
func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

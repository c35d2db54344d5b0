package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/replay"
	"github.com/afxlb/afxlb/internal/testutil"
)

// inspected is a balancer with one queue and a service for each algorithm in each mode, none of
// which is asked for its health.
type inspected struct {
	*world
	*process
	cable    *cable
	tap      *lab.Wiretap
	services []string
	sent     uint64 // packets for the balancer, so far
}

// inspectedModes are the modes, by the third part of the services' addresses.
var inspectedModes = []string{"nat", "fullnat", "dsr", "ipip", "gue", "gre"}

var inspectedAlgorithms = []string{"round-robin", "weighted-round-robin", "weighted", "least-conn", "two-choices", "source-hash", "maglev"}

func inspectedVIP(mode, algorithm int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + 10*mode + algorithm)}), port)
}

func newInspected(t *testing.T) *inspected {
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Backends: 3, Queues: 1, VIPs: []netip.Addr{dsrVIP4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	n := &inspected{world: &world{t: t, lab: l, dir: t.TempDir()}}
	n.addSources(more4)
	for _, h := range l.Backends { // which say nothing: all packets are the test's
		for _, to := range []string{"198.51.100.0/24", "192.0.2.0/24", netip.PrefixFrom(more4, 32).String(), netip.PrefixFrom(own4, 32).String()} {
			dst := net.IPNet{IP: netip.MustParsePrefix(to).Addr().AsSlice(), Mask: net.CIDRMask(netip.MustParsePrefix(to).Bits(), 32)}
			if err := h.Netlink().RouteReplace(&netlink.Route{Dst: &dst, Type: unix.RTN_BLACKHOLE}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var entries []string
	for i, mode := range inspectedModes {
		for j, algorithm := range inspectedAlgorithms {
			keys := fmt.Sprintf("protocol: tcp, mode: %s, algorithm: %s, health: {type: none}, ", mode, algorithm)
			if mode == "fullnat" {
				keys += fmt.Sprintf("snat-addresses: [%q], ", more4)
			}
			if j%3 == 2 {
				keys += "persistence: {timeout: 1m}, "
			}
			n.services = append(n.services, mode+"-"+algorithm)
			entries = append(entries, entry(mode+"-"+algorithm, inspectedVIP(i, j).Addr(), port, keys, backendsOf(natVIP4)...))
		}
	}
	// No flow ends by itself meanwhile: that would look as if a question had changed something.
	n.process = n.serve(n.writeConfig("afxlb.yaml", append(entries, "conntrack: {timeouts: {tcp-syn: 10m}}\n")...))
	n.cable = n.openCable(l.Clients[0])
	if n.tap, err = l.Wiretap(); err != nil {
		t.Fatal(err)
	}
	return n
}

// state is all that the balancer says of itself, but for what passes by it and how old things are.
func (n *inspected) state() any {
	n.world.t.Helper()
	ctx := n.world.t.Context()
	counters, err1 := n.api.Counters(ctx)
	flows, err2 := n.api.Flows(ctx, api.FlowFilter{Limit: 10_000})
	backends, err3 := n.api.Backends(ctx, "")
	if err1 != nil || err2 != nil || err3 != nil {
		n.world.t.Fatal(err1, err2, err3)
	}
	counters = slices.DeleteFunc(counters, func(c api.Counter) bool { return c.Group == "steering" })
	for i := range flows {
		flows[i].Age, flows[i].Idle = 0, 0
	}
	slices.SortFunc(flows, func(a, b api.Flow) int { return strings.Compare(a.Client+a.VIP, b.Client+b.VIP) })
	return []any{counters, flows, backends}
}

// send sends frames for the balancer, and returns when that has told its counters of them.
func (n *inspected) send(frames ...packettest.Frame) {
	n.world.t.Helper()
	n.cable.send(frames...)
	n.sent += uint64(len(frames))
	n.await("count all packets", func(api.Status) bool { return n.counter("packets", "received") >= n.sent })
}

func frameText(frame []byte) string {
	t, _ := replay.Look(frame)
	if t.Source.Port() == 0 && t.Destination.Port() == 0 {
		return fmt.Sprintf("%s %s > %s", t.Protocol, t.Source.Addr(), t.Destination.Addr())
	}
	return fmt.Sprintf("%s %s > %s", t.Protocol, t.Source, t.Destination)
}

// What trace says is what the very next such packet does, for each algorithm in each mode, for new
// flows and for those that are there; and to ask changes nothing.
func TestFieldTrace(t *testing.T) {
	n := newInspected(t)
	for i := range inspectedModes {
		for j := range inspectedAlgorithms {
			service, vip := n.services[i*len(inspectedAlgorithms)+j], inspectedVIP(i, j)
			for k := range 3 {
				client := netip.MustParseAddrPort(fmt.Sprintf("198.51.100.7:%d", 40000+10*(i*len(inspectedAlgorithms)+j)+k%2)) // the last one is known
				f := packettest.TCP(client.String(), vip.String(), packet.TCPSyn)
				q := &api.TraceQuery{Packet: fmt.Sprintf("tcp %s > %s from %s", client, vip, packet.MAC(n.cable.by.MAC))}
				before := n.state()
				said, err := n.api.Trace(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				again, err := n.api.Trace(t.Context(), q)
				again.Generation = said.Generation // a neighbour that becomes known meanwhile makes another
				if err != nil || k < 2 && !cmp.Equal(said, again) {
					t.Errorf("%s: asked again: %v\n%s", service, err, cmp.Diff(said, again))
				}
				if diff := cmp.Diff(before, n.state()); diff != "" {
					t.Fatalf("%s: to ask has changed (-before +after)\n%s", service, diff)
				}
				if said.Verdict != "forwarded" || said.Service != service || len(said.Sent) != 1 || said.Steering != "steered-service" {
					t.Fatalf("%s: %+v", service, said)
				}
				n.send(f)
				got := nextOf(t, n.tap)
				sent := said.Sent[0]
				if text := frameText(got); text != sent.Text || packet.DestinationMAC(got).String() != sent.DestinationMAC ||
					packet.SourceMAC(got).String() != sent.SourceMAC || len(got) != sent.Length {
					t.Errorf("%s: said %+v, and sent %s to %s, %d bytes", service, sent, text, packet.DestinationMAC(got), len(got))
				}
				flows, err := n.api.Flows(t.Context(), api.FlowFilter{Service: service, Limit: 100})
				if err != nil || !slices.ContainsFunc(flows, func(f api.Flow) bool { return f.Client == client.String() && f.Backend == said.Backend }) {
					t.Errorf("%s: said %s, and the flows are %+v, %v", service, said.Backend, flows, err)
				}
				if by := "addresses[" + vip.Addr().String() + "]"; !slices.ContainsFunc(said.Steps, func(s api.TraceStep) bool { return s.By == by }) {
					t.Errorf("%s: no step quotes %s: %+v", service, by, said.Steps)
				}
			}
		}
	}
	n.traceOthers()
	n.process.stop()
}

// traceOthers asks for what is no new flow of a service, by the command.
func (n *inspected) traceOthers() {
	vip := inspectedVIP(0, 0)
	for words, want := range map[string]string{
		"tcp 198.51.100.7:1 > " + vip.Addr().String() + ":1":           "passed",
		"tcp 198.51.100.7:1 > " + vip.String() + " flags R":            "dropped no-flow",
		"icmp 198.51.100.7 > " + vip.Addr().String():                   "replied",
		"tcp 198.51.100.7:1 " + vip.String() + " --ttl 1":              "replied",
		"tcp 198.51.100.7:1 " + vip.String() + " --flags A --vlan 5":   "forwarded",
		"tcp 198.51.100.7:1 " + vip.String() + " --length 1400 --json": "forwarded",
	} {
		var out, errs bytes.Buffer
		args := append(append([]string{"trace"}, strings.Fields(words)...), "--socket", n.socket)
		if code := run(n.world.t.Context(), &env{stdout: &out, stderr: &errs}, append(args, "--json")); code != exitDone {
			n.world.t.Errorf("%s: %d, %s", words, code, &errs)
		}
		var said api.Trace
		if err := json.Unmarshal(out.Bytes(), &said); err != nil || strings.TrimSpace(said.Verdict+" "+said.Reason) != want {
			n.world.t.Errorf("%s: %s %s, want %s: %v", words, said.Verdict, said.Reason, want, err)
		}
	}
	var out, errs bytes.Buffer
	if code := run(n.world.t.Context(), &env{stdout: &out, stderr: &errs}, []string{"trace", "nonsense", "--socket", n.socket}); code != exitUsage {
		n.world.t.Errorf("nonsense: %d, %s", code, &errs)
	}
}

// capture runs the verb, and returns when it has begun to write the file.
func (n *inspected) capture(ctx context.Context, file string, args ...string) (end func() (code int, said string)) {
	n.world.t.Helper()
	done := make(chan int, 1)
	errs := &tail{}
	go func() {
		done <- run(ctx, &env{stdout: io.Discard, stderr: errs}, append([]string{"capture", "--socket", n.socket, "-w", file}, args...))
	}()
	for end := time.Now().Add(patience); ; time.Sleep(poll) {
		if s, err := os.Stat(file); err == nil && s.Size() > 0 {
			break
		}
		select {
		case code := <-done:
			n.world.t.Fatalf("capture %v ended: %d, %s", args, code, errs.String())
		default:
		}
		if time.Now().After(end) {
			n.world.t.Fatalf("capture %v does not begin", args)
		}
	}
	return func() (int, string) {
		select {
		case code := <-done:
			return code, errs.String()
		case <-time.After(patience):
			n.world.t.Fatalf("capture %v does not end: %s", args, errs.String())
			return 0, ""
		}
	}
}

// A capture has what was on the wire, as it came and as it left, and says what became of it; as
// many as were asked for, of whom was asked for.
func TestFieldCapture(t *testing.T) {
	n := newInspected(t)
	nat, dsr := inspectedVIP(0, 0), inspectedVIP(2, 0)
	var in []packettest.Frame
	for k := range 20 {
		to := nat
		if k%4 == 3 {
			to = dsr
		}
		in = append(in, packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+k), to.String(), packet.TCPSyn))
	}
	in = append(in, packettest.TCP("198.51.100.8:1", nat.String(), packet.TCPRst)) // of no flow: dropped
	send := func() (sent [][]byte) {
		n.send(in...)
		for range len(in) - 1 {
			sent = append(sent, bytes.Clone(nextOf(t, n.tap)))
		}
		return sent
	}
	for name, test := range map[string]struct {
		args []string
		want int
		left int // of them
	}{
		"all":     {[]string{"--count", "21"}, 21, 20},
		"service": {[]string{"--service", "dsr-round-robin", "--count", "5"}, 5, 5},
		"verdict": {[]string{"--verdict", "dropped", "--count", "1"}, 1, 0},
		"reason":  {[]string{"--reason", "no-flow", "--count", "1"}, 1, 0},
		"client":  {[]string{"--client", "198.51.100.8", "--count", "1"}, 1, 0},
		"filter":  {[]string{"--count", "5", "dst", "host", dsr.Addr().String(), "and", "tcp[tcpflags]", "&", "tcp-syn", "!=", "0"}, 5, 5},
		"snaplen": {[]string{"--count", "21", "--snaplen", "40"}, 21, 20},
		"sample":  {[]string{"--count", "4", "--sample", "5"}, 4, 4},
	} {
		file := filepath.Join(n.dir, strings.ReplaceAll(name, " ", "-")+".pcapng")
		end := n.capture(t.Context(), file, test.args...)
		sent := send()
		if code, said := end(); code != exitDone || !strings.Contains(said, fmt.Sprintf("%d packets captured\n", test.want)) {
			t.Errorf("%s: exit code %d: %s", name, code, said)
		}
		came, left := 0, 0
		for _, p := range packetsOf(t, file) {
			cut := len(p.Data) < p.Length
			if cut != (name == "snaplen") || cut && len(p.Data) != 40 {
				t.Errorf("%s: %d bytes of %d", name, len(p.Data), p.Length)
			}
			is := func(f []byte) bool { return bytes.HasPrefix(f, p.Data) && len(f) == p.Length }
			switch p.Direction {
			case capture.Inbound:
				came++
				if !slices.ContainsFunc(in, func(f packettest.Frame) bool {
					f.SrcMAC, f.DstMAC = packet.MAC(n.cable.by.MAC), n.cable.to
					return is(f.Bytes())
				}) {
					t.Errorf("%s: nobody has sent %x", name, p.Data)
				}
			case capture.Outbound:
				left++
				if !slices.ContainsFunc(sent, is) {
					t.Errorf("%s: %x was not on the wire", name, p.Data)
				}
			}
			dropped := strings.HasPrefix(p.Comment, "dropped: no-flow")
			if !dropped && !(strings.HasPrefix(p.Comment, "forwarded; service ") && strings.Contains(p.Comment, "; backend b") && strings.Contains(p.Comment, "; request")) {
				t.Errorf("%s: comment %q", name, p.Comment)
			}
		}
		if came != test.want || left != test.left {
			t.Errorf("%s: %d came and %d left, want %d and %d", name, came, left, test.want, test.left)
		}
	}
	n.refusedCaptures()
	n.stalledCapture()
	// The balancer ends: the file is whole.
	file := filepath.Join(n.dir, "stopped.pcapng")
	end := n.capture(t.Context(), file)
	n.send(in...)
	n.process.stop()
	if code, said := end(); code != exitPartly {
		t.Errorf("stopped: exit code %d: %s", code, said)
	}
	if got := len(packetsOf(t, file)); got != 41 {
		t.Errorf("stopped: %d packets, want 21 as they came and 20 as they left", got)
	}
}

// refusedCaptures asks for what there is not.
func (n *inspected) refusedCaptures() {
	for args, want := range map[string]string{
		"--service nobody": "there is no service", "--verdict lost": "there is no verdict", "host nobody": "want an IP address", "--client x": "want an IP address",
	} {
		var errs bytes.Buffer
		code := run(n.world.t.Context(), &env{stdout: io.Discard, stderr: &errs}, append(strings.Fields("capture --count 1 --socket "+n.socket), strings.Fields(args)...))
		if code == exitDone || !strings.Contains(errs.String(), want) {
			n.world.t.Errorf("%s: exit code %d: %s", args, code, &errs)
		}
	}
	for i := range 5 {
		body, err := n.api.Capture(n.world.t.Context(), &api.CaptureFilter{})
		if i < 4 && err == nil {
			defer body.Close()
		} else if i < 4 || err == nil || !strings.Contains(err.Error(), "409") {
			n.world.t.Errorf("capture %d at a time: %v", i+1, err)
		}
	}
}

// stalledCapture has a reader that reads nothing for a while: packets go on, and how many copies
// are missing is told.
func (n *inspected) stalledCapture() {
	t := n.world.t
	t.Helper()
	var body io.ReadCloser
	for end := time.Now().Add(patience); ; time.Sleep(poll) { // the one before may not have ended
		var err error
		if body, err = n.api.Capture(t.Context(), &api.CaptureFilter{Service: "nat-maglev", Time: "5s"}); err == nil { // far above what it takes
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer body.Close()
	f := packettest.TCP("198.51.100.9:1", inspectedVIP(0, 6).String(), packet.TCPSyn)
	f.Payload = make([]byte, 1400)
	// More than is kept for who reads, 16 MB, and in sockets; so few at a time that none is lost in front of
	// the worker: a veth has room for 256 (VETH_RING_SIZE of drivers/net/veth.c).
	const burst, total = 200, 14_000
	before, now := n.tally(), tally{}
	for sent := uint64(0); sent < total; {
		n.cable.send(slices.Repeat([]packettest.Frame{f}, burst)...)
		sent += burst
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if now = n.tally(); now.received+now.unseen >= before.received+before.unseen+sent {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("of %d packets there were %+v before, and are %+v", sent, before, now)
			}
		}
	}
	got := now.forwarded - before.forwarded
	if got+now.unseen-before.unseen+n.counter("packets", "tx-full") < total {
		t.Errorf("%d of %d packets are forwarded while nobody reads", got, total)
	}
	n.sent = n.counter("packets", "received")
	sum, err := capture.Relay(io.Discard, body)
	if err != nil {
		t.Error(err)
	}
	if came := sum.Packets[0]; sum.Dropped == 0 || came == 0 || came+sum.Dropped != got {
		t.Errorf("%d copies and %d that are told to be missing, of %d packets", came, sum.Dropped, got)
	}
}

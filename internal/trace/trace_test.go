package trace

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

var web = netip.MustParseAddr("192.0.2.10")

// newTracer returns one of a balancer with two interfaces and a service, whose backend b is full
// of nothing and whose mode and algorithm are as given.
func newTracer(t *testing.T, mode balancer.Mode, algorithm balancer.Algorithm, change func(*balancer.ServiceSpec, *balancer.Facts)) *Tracer {
	t.Helper()
	loads := balancer.NewLoads()
	s := balancer.ServiceSpec{
		Name: "web", Address: web, First: 80, Last: 80, Protocol: balancer.TCP, Mode: mode, Algorithm: algorithm, Health: balancer.HealthSpec{Type: balancer.HealthNone},
		SnatAddresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")},
	}
	if mode != balancer.FullNAT {
		s.SnatAddresses = nil
	}
	facts := balancer.Facts{
		Ports:  []balancer.Port{{MAC: packet.MAC{2, 0, 0, 0, 9, 9}, MTU: 1500}, {MAC: packet.MAC{2, 0, 0, 0, 9, 8}, MTU: 1400}},
		States: map[balancer.BackendKey]balancer.State{}, NextHops: map[netip.Addr]balancer.NextHop{},
	}
	for i, name := range []string{"a", "b"} {
		at := netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)})
		s.Backends = append(s.Backends, balancer.BackendSpec{Name: name, Address: at, Weight: 1})
		facts.NextHops[at] = balancer.NextHop{MAC: packet.MAC{2, 0, 0, 0, 0, byte(11 + i)}, OnLink: true, Link: balancer.Link{Port: 1}, Own: netip.MustParseAddr("10.0.0.1")}
	}
	if change != nil {
		change(&s, &facts)
	}
	compiler := balancer.NewCompiler(loads)
	d, err := compiler.Compile(&balancer.Spec{Services: []balancer.ServiceSpec{s}}, &facts)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bpf.NewPlan(bpf.Steering{Services: []bpf.Service{{Address: web, Protocol: bpf.TCP, First: 80, Last: 80}, {Address: web, Protocol: bpf.UDP, First: 80, Last: 80}}}, bpf.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	first := xsktest.New(64, 2048, 16)
	e, err := engine.NewOffline(engine.Config{MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: loads}, []*xsk.Socket{first.Socket()})
	if err == nil {
		err = e.Apply(d.Table, plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Tracer{Engine: e, Ports: func() []string { return []string{"eth0", "eth1"} }}
}

func (t *Tracer) must(tt *testing.T, q api.TraceQuery) api.Trace {
	tt.Helper()
	got, err := t.Trace(&q)
	if err != nil {
		tt.Fatal(err)
	}
	return got
}

// quotes reports whether a step quotes what decided.
func quotes(tr api.Trace, step, by string) bool {
	for _, s := range tr.Steps {
		if s.Step == step && strings.Contains(s.By, by) {
			return true
		}
	}
	return false
}

const syn = "tcp 198.51.100.7:40000 > 192.0.2.10:80"

// TestTrace: each step quotes what decided, by the algorithm's own measure.
func TestTrace(t *testing.T) {
	for algorithm, by := range map[balancer.Algorithm]string{
		balancer.RoundRobin: "a has the turn", balancer.WeightedRoundRobin: "credit", balancer.Weighted: "weight 1",
		balancer.LeastConn: "live 0", balancer.TwoChoices: "live 0", balancer.SourceHash: "of 65537", balancer.Maglev: "slot ",
	} {
		got := newTracer(t, balancer.NAT, algorithm, nil).must(t, api.TraceQuery{Packet: syn})
		for step, by := range map[string]string{
			"steering": "services[192.0.2.10 protocol 6 ports 80 to 80]", "service": "tcp 192.0.2.10 port 80", "flow": "none", "pick": by, "way": "next hop",
			"out": "eth1", "verdict": "forwarded",
		} {
			if !quotes(got, step, by) {
				t.Errorf("%v: no step %s quotes %q: %+v", algorithm, step, by, got.Steps)
			}
		}
		if got.Verdict != "forwarded" || got.Service != "web" || len(got.Sent) != 1 || got.Sent[0].SourceMAC != "02:00:00:00:09:08" || got.Flow != "tcp-syn" {
			t.Errorf("%v: %+v", algorithm, got)
		}
	}
}

func TestTraceOfOthers(t *testing.T) {
	persists := func(s *balancer.ServiceSpec, _ *balancer.Facts) {
		s.Persistence = balancer.PersistenceSpec{Timeout: time.Hour, Prefix4: 32, Prefix6: 128}
	}
	nobody := func(s *balancer.ServiceSpec, _ *balancer.Facts) {
		s.Backends[0].Weight, s.Backends[1].Weight = 0, 0
	}
	narrower := func(s *balancer.ServiceSpec, f *balancer.Facts) { // whose first piece goes to b
		s.Protocol, s.Affinity = balancer.UDP, balancer.AffinityNone
		hop := f.NextHops[s.Backends[1].Address]
		hop.Link.MTU = 1300
		f.NextHops[s.Backends[1].Address] = hop
	}
	for name, test := range map[string]struct {
		packet            string
		mode              balancer.Mode
		change            func(*balancer.ServiceSpec, *balancer.Facts)
		verdict, step, by string
	}{
		"the kernel's":     {"tcp 198.51.100.7:1 > 192.0.2.10:81", balancer.NAT, nil, "passed", "steering", "passed"},
		"mid-stream":       {syn + " flags A", balancer.DSR, nil, "forwarded", "pick", "slot"},
		"no flow":          {syn + " flags R", balancer.NAT, nil, "dropped no-flow", "verdict", "no-flow"},
		"full NAT":         {syn, balancer.FullNAT, nil, "forwarded", "source", "snat-addresses"},
		"persistence":      {syn, balancer.NAT, persists, "forwarded", "persistence", "web"},
		"nobody":           {syn, balancer.NAT, nobody, "replied", "answer", "TCP reset"},
		"too large":        {syn + " length 1450 df", balancer.NAT, nil, "replied", "mtu", "1400"},
		"cut":              {syn + " length 1450", balancer.NAT, nil, "forwarded", "mtu", "1400"},
		"TTL":              {syn + " ttl 1", balancer.NAT, nil, "replied", "answer", "time exceeded"},
		"ping":             {"icmp 198.51.100.7 > 192.0.2.10", balancer.NAT, nil, "replied", "answer", "echo reply"},
		"tagged":           {syn + " vlan 5", balancer.NAT, nil, "forwarded", "parse", "headers"},
		"a later fragment": {syn + " offset 1480 length 8 id 7", balancer.NAT, nil, "held", "verdict", "held"},
		"cut twice":        {"udp 198.51.100.7:40000 > 192.0.2.10:80 length 1450", balancer.DSR, narrower, "forwarded", "verdict", "forwarded"},
	} {
		got := newTracer(t, test.mode, balancer.RoundRobin, test.change).must(t, api.TraceQuery{Packet: test.packet})
		if said := strings.TrimSpace(got.Verdict + " " + got.Reason); said != test.verdict || !quotes(got, test.step, test.by) {
			t.Errorf("%s: %s, want %s with a step %s by %q: %+v", name, said, test.verdict, test.step, test.by, got.Steps)
		}
	}
}

// What is no packet is the asker's fault; an interface or a queue that there is not is the machine's.
func TestTraceRefuses(t *testing.T) {
	tracer := newTracer(t, balancer.NAT, balancer.RoundRobin, nil)
	for want, q := range map[string]api.TraceQuery{
		"no packet": {Packet: "x"}, "is not served": {Packet: syn, Interface: "eth7"}, "no worker has the queue": {Packet: syn, Queue: 3},
	} {
		var p *api.Problem
		_, err := tracer.Trace(&q)
		asker, machine := errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity, errors.As(err, new(api.MachineError))
		if err == nil || asker != (want == "no packet") || machine == asker || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", q, err, want)
		}
	}
	looped := newTracer(t, balancer.DSR, balancer.RoundRobin, nil).must(t, api.TraceQuery{Packet: syn + " from 02:00:00:00:00:0b", Interface: "eth1"})
	if looped.Verdict+" "+looped.Reason != "dropped loop" {
		t.Errorf("from a backend: %+v", looped)
	}
	if got := tracer.must(t, api.TraceQuery{Packet: syn, Interface: "eth1"}); got.Interface != "eth1" || got.Verdict != "forwarded" {
		t.Errorf("by the other interface: %+v", got)
	}
}

// Before there is a table everything is the kernel's, and so it is while no interface is served.
func TestTraceOfNothing(t *testing.T) {
	first := xsktest.New(64, 2048, 16)
	e, err := engine.NewOffline(engine.Config{MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: balancer.NewLoads()}, []*xsk.Socket{first.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	for _, ports := range [][]string{{"eth0"}, {""}, {"", "eth1"}} {
		tracer := &Tracer{Engine: e, Ports: func() []string { return ports }}
		if got := tracer.must(t, api.TraceQuery{Packet: syn}); got.Verdict != "passed" {
			t.Errorf("%q: %+v", ports, got)
		}
	}
	none, err := engine.New(engine.Config{MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: balancer.NewLoads(), Queues: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	tracer := &Tracer{Engine: none, Ports: func() []string { return []string{"eth0"} }}
	if got := tracer.must(t, api.TraceQuery{Packet: syn}); got.Verdict != "passed" {
		t.Errorf("%+v", got)
	}
}

// An address of IPv6 with a port stands in brackets (RFC 5952, section 6).
func TestTraceOfIPv6(t *testing.T) {
	a, k := packet.AddrFrom(netip.MustParseAddr("2001:db8::7")), packet.AddrFrom(netip.MustParseAddr("192.0.2.10"))
	in := conntrack.Info{Key: packet.Key{Src: a, Dst: k, SrcPort: 40000, DstPort: 80}}
	if got, want := flowText(&in), "[2001:db8::7]:40000 > 192.0.2.10:80"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// specOf has a service at each address, with backends at 10.0.0.1 and up.
func specOf(backends int, vips ...string) *balancer.Spec {
	spec := &balancer.Spec{}
	for i, vip := range vips {
		s := balancer.ServiceSpec{Name: fmt.Sprint("s", i), Address: netip.MustParseAddr(vip)}
		a := netip.MustParseAddr("10.0.0.1")
		for range backends {
			s.Backends = append(s.Backends, balancer.BackendSpec{Address: a})
			a = a.Next()
		}
		spec.Services = append(spec.Services, s)
	}
	return spec
}

// want is what a check is to find.
type want struct {
	check    string // empty: nothing
	severity Severity
	text     string // a part of what, why or do
}

// mustFind holds a check's findings against what is wanted, and each against what every one has.
func mustFind(t *testing.T, name string, list []Finding, w want) {
	t.Helper()
	for i := range list {
		mustAdvise(t, &list[i])
	}
	switch {
	case w.check == "" && len(list) > 0:
		t.Errorf("%s: %+v", name, list)
	case w.check != "" && (len(list) != 1 || list[0].Check != w.check || list[0].Severity != w.severity || !strings.Contains(list[0].Text(), w.text)):
		t.Errorf("%s: %+v, want %+v", name, list, w)
	}
}

// mustAdvise: a finding that says not what to do is none.
func mustAdvise(t *testing.T, f *Finding) {
	t.Helper()
	if f.What == "" || f.Do == "" || f.Check == "" || order(f.Group) < 0 || f.Severity != Warning && f.Severity != Cannot || strings.Contains(f.Text(), "\n") {
		t.Errorf("%+v: a finding says what is wrong and what to do, in a line", f)
	}
}

// announced is a machine whose balancer announces an address of two services by one of them.
func announced(how balancer.Announce, own []netip.Prefix) Machine {
	m := Machine{Spec: specOf(0, "10.0.0.7", "10.0.0.7"), Own: own}
	m.Spec.Services[1].Announce = how
	return m
}

func TestMachineChecks(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.200/24"), netip.MustParsePrefix("192.0.2.9/32")}
	at := func(number, queue int, cpus ...int) Interrupt { return Interrupt{number, queue, cpus} }
	one := []string{"eth0"}
	for name, c := range map[string]struct {
		m Machine
		w want
	}{
		"nothing":                         {Machine{}, want{}},
		"strict":                          {Machine{Ports: one, Routing: Routing{Strict: one}}, want{}},
		"strict, and it drops":            {Machine{Ports: one, Routing: Routing{Strict: one, Filtered: 7}}, want{"rp-filter", Warning, "7 packets were dropped by it"}},
		"strict, on a VLAN":               {Machine{Ports: []string{"eth0", "eth1.5"}, Routing: Routing{Strict: []string{"eth1.5"}}}, want{"rp-filter", Warning, "conf.eth1/5.rp_filter=2"}},
		"strict, and several ways":        {Machine{Ports: []string{"eth0", "eth1"}, Routing: Routing{Strict: []string{"eth1"}}}, want{"rp-filter", Warning, "eth1.rp_filter=2"}},
		"several ways":                    {Machine{Ports: []string{"eth0", "eth1"}, Routing: Routing{Filtered: 3}}, want{}},
		"neighbours":                      {Machine{Spec: specOf(100, "192.0.2.1"), Own: own, Neighbours: Neighbours{Soft4: 512, Hard4: 1024}}, want{}},
		"more neighbours than are kept":   {Machine{Spec: specOf(130, "192.0.2.1"), Own: own, Neighbours: Neighbours{Soft4: 64, Hard4: 128}}, want{"neighbours", Cannot, "130 backends are on the link, and the kernel keeps 128"}},
		"more than are kept for long":     {Machine{Spec: specOf(100, "192.0.2.1"), Own: own, Neighbours: Neighbours{Soft4: 64, Hard4: 128}}, want{"neighbours", Warning, "sysctl -w net.ipv4.neigh.default.gc_thresh1=200"}},
		"a full table":                    {Machine{Neighbours: Neighbours{Entries6: 1000, Soft6: 512, Hard6: 1024}}, want{"neighbours", Warning, "net.ipv6.neigh.default.gc_thresh3"}},
		"many, behind a router":           {Machine{Spec: specOf(130, "192.0.2.1"), Neighbours: Neighbours{Soft4: 64, Hard4: 128}}, want{}},
		"many, of one service and others": {Machine{Spec: specOf(60, "192.0.2.1", "192.0.2.2"), Own: own, Neighbours: Neighbours{Soft4: 64, Hard4: 128}}, want{}},
		"address of a router's network":   {Machine{Spec: specOf(0, "192.0.2.1"), Own: own}, want{}},
		"own address":                     {Machine{Spec: specOf(0, "10.0.0.200"), Own: own}, want{}},
		"own address of its own":          {Machine{Spec: specOf(0, "192.0.2.9"), Own: own}, want{}},
		"nobody's address on the link":    {Machine{Ports: one, Spec: specOf(0, "10.0.0.7", "10.0.0.7"), Own: own}, want{"vip", Warning, "ip address add 10.0.0.7/32 dev eth0"}},
		"brought by keepalived":           {Machine{Ports: one, VRRP: true, Spec: specOf(0, "10.0.0.7"), Own: own}, want{}},
		"announced":                       {announced(balancer.AnnounceARP, own), want{}},
		"interrupts apart":                {Machine{Ports: one, CPUs: []int{2, 3}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0), at(41, 1, 1)}}}}, want{}},
		"at the queue's own worker":       {Machine{Ports: one, CPUs: []int{0, 1}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0), at(41, 1, 1)}}}}, want{}},
		"at another's":                    {Machine{Ports: one, CPUs: []int{1, 3}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0), at(41, 1, 1)}}}}, want{"irq", Warning, "41 of queue 1 on CPU 1, which is the worker's of queue 0"}},
		"all on one CPU":                  {Machine{Ports: one, CPUs: []int{2, 3}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0), at(41, 1, 0)}}}}, want{"irq", Warning, "the interrupts of all 2 queues are on CPU 0"}},
		"wherever the kernel wants":       {Machine{Ports: one, CPUs: []int{2, 3}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0, 1, 2, 3), at(41, 1, 0, 1, 2, 3)}}}}, want{}},
		"one queue":                       {Machine{Ports: one, CPUs: []int{1}, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0)}}}}, want{}},
		"irqbalance":                      {Machine{Ports: one, Balances: true, NICs: []NIC{{Node: -1, Interrupts: []Interrupt{at(40, 0, 0)}}}}, want{"irq", Warning, "irqbalance runs"}},
		"irqbalance, and no interrupts":   {Machine{Ports: one, Balances: true, NICs: []NIC{{Node: -1}}}, want{}},
		"near":                            {Machine{Ports: one, CPUs: []int{0}, NICs: []NIC{{Node: 0, Nodes: map[int]int{0: 0, 8: 1}}}}, want{}},
		"far":                             {Machine{Ports: one, CPUs: []int{8, -1}, NICs: []NIC{{Node: 0, Nodes: map[int]int{0: 0, 1: 0, 8: 1}}}}, want{"numa", Warning, "CPU 8 of queue 0 on node 1: each packet crosses between the nodes; set cpus to some of 0,1"}},
		"a rule": {Machine{Firewall: Firewall{Rules: []Rule{{"inet", "filter", "input", 4, netip.MustParseAddr("192.0.2.1")}}}},
			want{"firewall", Warning, "nft delete rule inet filter input handle 4"}},
		"iptables-legacy": {Machine{Spec: specOf(0, "192.0.2.1", "192.0.2.2"), Firewall: Firewall{Legacy: []string{"filter"}}}, want{"firewall", Warning, "grep -F -e 192.0.2.1 -e 192.0.2.2"}},
		"rules unknown":   {Machine{Firewall: Firewall{Err: errors.New("a\nb")}}, want{"firewall", Warning, "can't be looked at: a; b"}},
	} {
		if c.m.Spec == nil {
			c.m.Spec = &balancer.Spec{}
		}
		var list []Finding
		for _, r := range c.m.look(false) {
			list = append(list, r.findings...)
		}
		mustFind(t, name, list, c.w)
		if told := c.m.Told(); len(told) > 0 != (c.w.check != "" && c.w.check != "vip") {
			t.Errorf("%s: a daemon tells of %+v", name, told)
		}
	}
}

// What a daemon warns of has an event of the same name.
func TestToldHaveEvents(t *testing.T) {
	kinds := map[events.Kind]bool{}
	for _, m := range events.Kinds {
		kinds[m.Kind] = true
	}
	for _, c := range machineChecks {
		if c.told && !kinds[events.Kind(c.name)] {
			t.Errorf("%s is no kind of events", c.name)
		}
	}
}

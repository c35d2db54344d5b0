package doctor

import (
	"slices"
	"strings"
)

// The groups, in the order in which they are shown.
const (
	groupBalancer   = "balancer"
	groupMachine    = "machine"
	groupInterfaces = "interfaces"
	groupCPUs       = "cpus"
	groupNetwork    = "network"
	groupFirewall   = "firewall"
	groupLeftovers  = "leftovers"
)

// check looks at one thing.
type check struct {
	name, group string
	look        func(f *Facts, r *found)
	here        bool // it is about whether the config can be served
}

// checks is all, in the order in which they are shown.
var checks = []check{
	{"running", groupBalancer, running, false},
	{"file", groupBalancer, pending, false},
	{"lost", groupBalancer, lost, false},
	{"privileges", groupMachine, privileges, false},
	{"memory", groupMachine, memory, false},
	{"site", groupInterfaces, refused, true},
	{"interfaces", groupInterfaces, interfaces, true},
	{"xdp-mode", groupInterfaces, xdpMode, false},
	{"zero-copy", groupInterfaces, zeroCopy, false},
	{"program", groupInterfaces, programs, true},
	{"punt", groupMachine, puntDevice, true},
	{"link", groupInterfaces, links, true},
	{"snat-address", groupNetwork, foreign, true},
	{"backends", groupNetwork, reachable, true},
	{"listener", groupNetwork, listeners, true},
	{"tunnel-mtu", groupNetwork, tunnelMTU, false},
	{"forwarding", groupNetwork, forwarding, false},
	{"leftovers", groupLeftovers, leftovers, false},
}

// machineChecks are those of the machine alone. Of most a daemon tells, too: not of what is as it
// should be on the second of two machines.
var machineChecks = []struct {
	name, group string
	look        func(m *Machine, r *found)
	told        bool
}{
	{"rp-filter", groupNetwork, rpFilter, true},
	{"neighbours", groupNetwork, neighbours, true},
	{"vip", groupNetwork, addresses, false},
	{"irq", groupCPUs, interrupts, true},
	{"numa", groupCPUs, numa, true},
	{"firewall", groupFirewall, firewall, true},
}

// Report is the outcome of all checks.
type Report struct {
	State    string    `json:"state"` // ok, or the severity of the worst finding
	Findings []Finding `json:"findings"`
	Seen     []Seen    `json:"seen"` // what was looked at
}

// Examine does all checks.
func (f *Facts) Examine() *Report {
	var all []found
	for _, c := range checks {
		r := found{check: c.name, group: c.group}
		c.look(f, &r)
		all = append(all, r)
	}
	all = append(all, f.Machine.look(false)...)
	report := &Report{State: "ok", Findings: []Finding{}, Seen: []Seen{}}
	for i := range all {
		report.Findings = append(report.Findings, all[i].findings...)
		report.Seen = append(report.Seen, all[i].seen...)
	}
	f.told(report)
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return order(a.Group) - order(b.Group) })
	slices.SortStableFunc(report.Seen, func(a, b Seen) int { return order(a.Group) - order(b.Group) })
	for i := range report.Findings {
		if s := string(report.Findings[i].Severity); report.State == "ok" || s == string(Cannot) {
			report.State = s
		}
	}
	return report
}

// Told returns what a daemon warns of.
func (m *Machine) Told() (list []Finding) {
	for _, r := range m.look(true) {
		list = append(list, r.findings...)
	}
	return list
}

// ofMachine reports whether a check is of the machine alone.
func ofMachine(check string) bool {
	for _, c := range machineChecks {
		if c.name == check {
			return true
		}
	}
	return false
}

// look does all checks, or those of which a daemon tells.
func (m *Machine) look(told bool) (all []found) {
	for _, c := range machineChecks {
		if told && !c.told {
			continue
		}
		r := found{check: c.name, group: c.group}
		c.look(m, &r)
		all = append(all, r)
	}
	return all
}

// Groups are the groups, in the order in which they are shown.
var Groups = []string{groupBalancer, groupMachine, groupInterfaces, groupCPUs, groupNetwork, groupFirewall, groupLeftovers}

func order(group string) int { return slices.Index(Groups, group) }

// oneLine is an error of several lines in one.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

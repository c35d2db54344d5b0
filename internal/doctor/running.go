package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// running says whether there is a balancer to ask.
func running(f *Facts, r *found) {
	if f.Running == nil {
		r.saw("none answers: the file is looked at alone")
		return
	}
	r.saw("process %d, version %s: %s, generation %d, %s", f.Running.PID, f.Running.Version, f.Running.State, f.Running.Generation, f.Running.Config)
}

// pending says what the file says and is not in force.
func pending(f *Facts, r *found) {
	if f.Unasked != nil {
		r.unknown(f.Unasked)
	}
	if len(f.Pending) > 0 {
		r.warn("the file is not what is in force: "+some(f.Pending), "what is said here of the file is not of the balancer that runs", "afxlb reload --dry-run, and afxlb reload")
	}
}

// noticeable is which part of all packets is lost at most without a word: some are when a balancer
// starts, and in any burst.
const noticeable = 1e-4

// remedies are for what the kernel and the steering program count, by the counters' names.
var remedies = map[string]string{
	"rx-dropped":        "ethtool -k IF: switch lro, rx-gro-hw and a peer's gro off; afxlb top shows whether a queue has no free frame",
	"rx-ring-full":      "afxlb top shows the workers: spread RSS (ethtool -X), serve more queues, give each worker a CPU, or raise ethtool -G IF rx",
	"rx-pieces":         "ethtool -k IF: switch lro and rx-gro-hw off, or lower the MTU",
	"tx-invalid":        "report it: it is a defect",
	"tx-dropped":        "raise ethtool -G IF tx, and see to tc -s qdisc show dev IF",
	"dropped-no-socket": "queues: all, or have RSS leave out those that are not served: ethtool -X IF equal N",
}

// lost says what a running balancer's kernel has lost since the start.
func lost(f *Facts, r *found) {
	if f.Running == nil {
		return
	}
	received := uint64(0)
	for i := range f.Running.Ports {
		received += f.Running.Ports[i].Received
	}
	for i := range f.Lost {
		c := &f.Lost[i]
		if float64(c.Value) <= noticeable*float64(received+c.Value) {
			r.saw("%s %d of %d: %s", c.Name, c.Value, received, c.Help)
			continue
		}
		do, known := remedies[c.Name]
		if !known {
			do = "afxlb counters, and docs/OPERATIONS.md"
		}
		r.warn(fmt.Sprintf("%s: %d packets since the start, and %d were received", c.Name, c.Value, received), c.Help, strings.ReplaceAll(do, "IF", f.first()))
	}
}

// advice is what to do about a warning that only a running balancer can have, by its code; and
// whether something does not work by it.
var advice = map[string]struct {
	do     string
	cannot bool
}{
	"link":       {"ip link set IF up, and see to its cable and its other end", true},
	"port":       {"ip -br link shows what there is; it is served again by itself", true},
	"commit":     {"afxlb events shows the kernel's answer; dmesg | tail", true},
	"probes":     {"afxlb backends shows the probes' errors; raise what they name (ulimit -n, LimitNOFILE=, nf_conntrack_max)", false},
	"no-backend": {"afxlb backends --service NAME shows why each is down", true},
	"backup":     {"afxlb backends --service NAME shows why the others are down", false},
	"panic":      {"afxlb backends --service NAME shows why they are down; min-healthy says when", false},

	"announce-failed":   {"ip -d address shows who has it, and where; see to what is named", true},
	"address-conflict":  {"find the machine by its MAC address (ip neigh, the switch), and take the address away from one of the two", true},
	"below-min-healthy": {"afxlb backends --service NAME shows why they are down; min-healthy says when", true},

	"unreachable":  {"ip route get ADDRESS and ip neigh show; arping asks it", true},
	"snat-ports":   {"add an address to snat-addresses, and afxlb reload", false},
	"snat-address": {"ip address add ADDRESS dev IF", false},
	"check-source": {"ip address add ADDRESS dev IF", false},
	"stalled":      {"the journal has a trace after the watchdog's abort (journalctl -u afxlb); give the workers CPUs of their own", true},
	"reload":       {"afxlb check FILE, mend it, afxlb reload", false},
	"restart":      {"systemctl restart afxlb", false},
	"state-file":   {"make its folder writable and its disk not full (df), or set state-file", false},
	"listen":       {"ss -lntp shows who has the address; set listen to another one", false},
	"listener":     {"have the server listen on another address or port; ss -lntup shows it", false},
	"generic":      {"serve an interface whose driver has native XDP", false},
	"copied":       {"have all interfaces in the same XDP mode, with the same MTU; systemctl restart afxlb", false},
	"punt":         {"modprobe tun; ip link set afxlb-punt0 up", false},
	"checksums":    {"ethtool -K IF tx off, where the packets are sent: at the veth's other end, or in the VM; the warning goes five minutes after the last one", false},

	// The interfaces' own, which are found from outside, too, as far as they can be seen there.

	"queues":    {"ethtool -X or -L, or queues: all", true},
	"mtu":       {"ip link set IF mtu N", true},
	"lro":       {"ethtool -K IF lro off rx-gro-hw off", true},
	"gro":       {"ethtool -K IF gro off", true},
	"vlan":      {"ethtool -K IF rxvlan off", false},
	"tx-queues": {"ethtool -L IF combined N", false},
	"cpus":      {"ethtool -L IF combined N", false},
	"poll-busy": {"set poll to adaptive, or leave a CPU free of workers", false},
}

// unnamed is the advice for a code that has none: another version's.
const unnamed = "afxlb events shows when it began"

// same are the checks that find from outside what a warning of another name tells.
var same = map[string][]string{"unreachable": {"backends"}, "generic": {"xdp-mode"}}

// told adds the balancer's own warnings, as far as they were not found from outside.
func (f *Facts) told(report *Report) {
	if f.Running == nil {
		return
	}
	for _, w := range f.Running.Warnings {
		if ofMachine(w.Code) { // and was looked at just now
			continue
		}
		known := func(one Finding) bool {
			return one.Check == w.Code || slices.Contains(same[w.Code], one.Check)
		}
		if slices.ContainsFunc(report.Findings, known) {
			continue
		}
		one := Finding{Check: w.Code, Group: groupBalancer, Severity: Warning, What: w.Text, Do: unnamed}
		if a, ok := advice[w.Code]; ok {
			one.Do = strings.ReplaceAll(a.do, "IF", f.first())
			if a.cannot {
				one.Severity = Cannot
			}
		}
		report.Findings = append(report.Findings, one)
	}
	for _, d := range f.Running.Drops {
		report.Seen = append(report.Seen, Seen{Check: "drops", Group: groupBalancer, Text: d.Name + ": " + d.Help})
	}
}

package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/nic"
)

// Served is what is made of an interface, or would be.
type Served struct {
	Queues   []int
	Detours  []int          // of the queues, those that have no TX queue
	Unpinned []int          // of the queues, those whose workers have no CPU of their own
	Busy     int            // workers that never sleep, of all interfaces
	CPUs     int            // that workers may have
	MaxMTU   int            // of which all packets are taken; 0: not known
	Mode     bpf.AttachMode // of the program; empty: not known yet
	Trouble  error          // why there are not more queues, or larger frames
}

// OfInterface returns what about an interface that is served is not as it should be, the
// worst first.
func OfInterface(now *nic.State, s *Served) []Finding {
	var list []Finding
	add := func(check string, severity Severity, what, why, do string) {
		list = append(list, Finding{Check: check, Group: groupInterfaces, Interface: now.Name, Severity: severity, What: what, Why: why, Do: do})
	}
	if queues, share := now.Unserved(s.Queues); share > 0 {
		do := "serve all queues, or have RSS leave them out (ethtool -X)"
		if s.Trouble != nil {
			do = s.Trouble.Error()
		}
		add("queues", Cannot, fmt.Sprintf("%d of %d RX queues are not served (%s)", len(queues), now.RX, numbers(queues)),
			fmt.Sprintf("about %.0f%% of the services' packets, which come there, are dropped", 100*share), do)
	}
	if s.MaxMTU > 0 && now.MTU > s.MaxMTU {
		why := ""
		if s.Trouble != nil {
			why = " (there are no larger frames: " + s.Trouble.Error() + ")"
		}
		add("mtu", Cannot, fmt.Sprintf("the MTU is %d, and packets of %d are taken", now.MTU, s.MaxMTU), "larger ones are lost",
			fmt.Sprintf("set it to %d at most%s: ip link set %[3]s mtu %[1]d", s.MaxMTU, why, now.Name))
	}
	if s.Mode == bpf.Native { // the kernel switches them off for a generic one (generic_xdp_install of net/core/dev.c)
		const lost = "packets that it merges are lost"
		if now.Offloads.LRO {
			add("lro", Cannot, "LRO is on", lost, "switch it off: ethtool -K "+now.Name+" lro off")
		}
		if now.Offloads.GROHardware {
			add("lro", Cannot, "rx-gro-hw is on", lost, "switch it off: ethtool -K "+now.Name+" rx-gro-hw off")
		}
	}
	if s.Mode == bpf.Generic && len(now.Merging) > 0 {
		add("gro", Cannot, "GRO is on for "+strings.Join(now.Merging, ", ")+", whose packets it gets",
			"those that are merged fit no frame, and are lost", "switch it off: ethtool -K "+now.Merging[0]+" gro off")
	}
	if now.Offloads.VLAN && now.VLANs {
		add("vlan", Warning, "rx-vlan-offload is on, and there are VLANs", "the NIC takes tags off, so that a VLAN's packets are taken for untagged ones",
			"switch it off: ethtool -K "+now.Name+" rxvlan off")
	}
	if len(s.Detours) > 0 {
		add("tx-queues", Warning, fmt.Sprintf("there are %d RX and %d TX queues", now.RX, now.TX),
			"what comes by queue "+numbers(s.Detours)+" is sent by the others' in a slower way",
			fmt.Sprintf("make them as many: ethtool -L %s rx %d tx %[2]d, or combined %[2]d", now.Name, now.RX))
	}
	if len(s.Unpinned) > 0 {
		add("cpus", Warning, fmt.Sprintf("the workers of %d queues (%s) have no CPU of their own", len(s.Unpinned), numbers(s.Unpinned)),
			fmt.Sprintf("there are %d queues, and %d CPUs that workers may have", len(s.Queues), s.CPUs),
			fmt.Sprintf("have as many queues as CPUs at most: ethtool -L %s combined %d", now.Name, max(s.CPUs, 1)))
	}
	if s.Busy > 0 && s.Busy >= s.CPUs {
		add("poll-busy", Warning, fmt.Sprintf("poll: busy, with %d workers on %d CPUs", s.Busy, s.CPUs),
			"health checks, reloads and the API have no CPU but the workers'",
			fmt.Sprintf("poll: adaptive, or leave a CPU free of workers: queues, or ethtool -L %s combined %d", now.Name, max(s.CPUs-1, 1)))
	}
	return list
}

// numbers lists a few of them.
func numbers(list []int) string {
	const few = 8
	var parts []string
	for i, n := range list {
		if i == few {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ", ")
}

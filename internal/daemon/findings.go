package daemon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/report"
)

// served is what is made of an interface.
type served struct {
	queues   []int
	detours  []int          // of the queues, those that have no TX queue
	unpinned []int          // of the queues, those whose workers have no CPU of their own
	cpus     int            // that workers may have
	maxMTU   int            // of which all packets are taken
	mode     bpf.AttachMode // of the program
	trouble  error          // why there are not more queues, or larger frames
}

func servedBy(in *engine.Info, number, cpus int) served {
	p := &in.Ports[number]
	s := served{mode: p.Attached, cpus: cpus}
	for i := range p.Sockets {
		socket := &p.Sockets[i]
		if !socket.Receives() {
			continue
		}
		s.queues = append(s.queues, socket.Queue)
		if socket.Detour {
			s.detours = append(s.detours, socket.Queue)
		}
		s.maxMTU = socket.MaxMTU() // all have the same
		if in.Workers[i].CPU < 0 {
			s.unpinned = append(s.unpinned, socket.Queue)
		}
	}
	return s
}

// findings returns what about an interface that is served is not as it should be, the
// worst first.
func findings(now *nic.State, s *served) []report.Finding {
	var list []report.Finding
	add := func(code string, loss bool, format string, args ...any) {
		list = append(list, report.Finding{Port: now.Name, Code: code, Loss: loss, Text: now.Name + ": " + fmt.Sprintf(format, args...)})
	}
	if queues, share := now.Unserved(s.queues); share > 0 {
		why := "serve all queues, or have RSS leave them out (ethtool -X)"
		if s.trouble != nil {
			why = s.trouble.Error()
		}
		add("queues", true, "%d of %d RX queues are not served (%s), and about %.0f%% of the services' packets, which come there, are dropped: %s",
			len(queues), now.RX, numbers(queues), 100*share, why)
	}
	if s.maxMTU > 0 && now.MTU > s.maxMTU {
		why := ""
		if s.trouble != nil {
			why = " (there are no larger frames: " + s.trouble.Error() + ")"
		}
		add("mtu", true, "the MTU is %d, and packets of %d are taken: larger ones are lost; set it to %[2]d at most%s", now.MTU, s.maxMTU, why)
	}
	if s.mode == bpf.Native { // the kernel switches them off for a generic one (generic_xdp_install of net/core/dev.c)
		if now.Offloads.LRO {
			add("lro", true, "LRO is on: packets that it merges are lost; switch it off (ethtool -K %s lro off)", now.Name)
		}
		if now.Offloads.GROHardware {
			add("lro", true, "rx-gro-hw is on: packets that it merges are lost; switch it off (ethtool -K %s rx-gro-hw off)", now.Name)
		}
	}
	if s.mode == bpf.Generic && len(now.Merging) > 0 {
		add("gro", true, "GRO is on for %s, whose packets it gets: those that are merged fit no frame, and are lost; switch it off (ethtool -K %s gro off)",
			strings.Join(now.Merging, ", "), now.Merging[0])
	}
	if now.Offloads.VLAN && now.VLANs {
		add("vlan", false, "rx-vlan-offload is on, and there are VLANs: the NIC takes tags off, so that a VLAN's packets are taken for untagged ones; "+
			"switch it off (ethtool -K %s rxvlan off)", now.Name)
	}
	if len(s.detours) > 0 {
		add("tx-queues", false, "there are %d RX and %d TX queues: what comes by queue %s is sent by the others' in a slower way; make them as many (ethtool -L)",
			now.RX, now.TX, numbers(s.detours))
	}
	if len(s.unpinned) > 0 {
		add("cpus", false, "the workers of %d queues (%s) have no CPU of their own: there are %d queues, and %d CPUs that workers may have; "+
			"have as many queues as CPUs at most (ethtool -L)",
			len(s.unpinned), numbers(s.unpinned), len(s.queues), s.cpus)
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

// find notes what was found of an interface, and tells what has begun and what is over.
func (d *daemon) find(port string, now []report.Finding) {
	d.mu.Lock()
	var before, others []report.Finding
	for _, f := range d.state.findings {
		if f.Port == port {
			before = append(before, f)
		} else {
			others = append(others, f)
		}
	}
	for i := range now {
		now[i].Since = time.Now()
		if old := finding(before, now[i].Code); old != nil {
			now[i].Since = old.Since
		}
	}
	d.state.findings = append(others, now...)
	d.mu.Unlock()
	for i := range now {
		if old := finding(before, now[i].Code); old == nil || old.Text != now[i].Text {
			d.events.Record(events.Event{Kind: events.Kind(now[i].Code), Severity: events.Warning, Interface: port, Text: now[i].Text})
		}
	}
	for i := range before {
		if finding(now, before[i].Code) == nil {
			d.events.Record(events.Event{Kind: events.Kind(before[i].Code), Over: true, Severity: events.Warning, Interface: port, Text: "over: " + before[i].Text})
		}
	}
}

// forget drops what was found of an interface that is not served any more.
func (d *daemon) forget(port string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.findings = slices.DeleteFunc(slices.Clone(d.state.findings), func(f report.Finding) bool { return f.Port == port })
}

// finding returns the one with the code, nil if there is none.
func finding(list []report.Finding, code string) *report.Finding {
	for i := range list {
		if list[i].Code == code {
			return &list[i]
		}
	}
	return nil
}

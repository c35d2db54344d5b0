package daemon

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/report"
	"github.com/afxlb/afxlb/xsk"
)

func TestFindings(t *testing.T) {
	good := nic.State{Name: "eth0", RX: 2, TX: 2, MTU: 1500}
	with := func(change func(*nic.State)) nic.State {
		s := good
		change(&s)
		return s
	}
	all := []int{0, 1}
	for name, c := range map[string]struct {
		now  nic.State
		s    served
		code string // empty: nothing is found
		loss bool
		text string
	}{
		"all well":           {good, served{queues: all, maxMTU: 1578, mode: bpf.Native}, "", false, ""},
		"one of two":         {good, served{queues: []int{1}}, "queues", true, "1 of 2 RX queues are not served (0), and about 50%"},
		"by RSS's table":     {with(func(s *nic.State) { s.Hash = []uint32{0, 0, 0, 1} }), served{queues: []int{1}}, "queues", true, "about 75%"},
		"RSS leaves it out":  {with(func(s *nic.State) { s.Hash = []uint32{1, 1} }), served{queues: []int{1}}, "", false, ""},
		"no room for more":   {good, served{queues: []int{0}, trouble: errors.New("no memory")}, "queues", true, "dropped: no memory"},
		"MTU":                {with(func(s *nic.State) { s.MTU = 9000 }), served{queues: all, maxMTU: 3626}, "mtu", true, "the MTU is 9000, and packets of 3626 are taken"},
		"no larger frames":   {with(func(s *nic.State) { s.MTU = 3000 }), served{queues: all, maxMTU: 1578, trouble: errors.New("no memory")}, "mtu", true, "set it to 1578 at most (there are no larger frames: no memory)"},
		"MTU, not served":    {with(func(s *nic.State) { s.MTU = 9000 }), served{queues: all}, "", false, ""},
		"LRO":                {with(func(s *nic.State) { s.Offloads.LRO = true }), served{queues: all, mode: bpf.Native}, "lro", true, "ethtool -K eth0 lro off"},
		"LRO in hardware":    {with(func(s *nic.State) { s.Offloads.GROHardware = true }), served{queues: all, mode: bpf.Native}, "lro", true, "ethtool -K eth0 rx-gro-hw off"},
		"LRO, generic":       {with(func(s *nic.State) { s.Offloads = nic.Offloads{LRO: true, GROHardware: true} }), served{queues: all, mode: bpf.Generic}, "", false, ""},
		"merged below":       {with(func(s *nic.State) { s.Merging = []string{"eth1"} }), served{queues: all, mode: bpf.Generic}, "gro", true, "ethtool -K eth1 gro off"},
		"merged below later": {with(func(s *nic.State) { s.Merging = []string{"eth1"} }), served{queues: all, mode: bpf.Native}, "", false, ""},
		"tags off":           {with(func(s *nic.State) { s.Offloads.VLAN, s.VLANs = true, true }), served{queues: all}, "vlan", false, "rxvlan off"},
		"tags off, no VLANs": {with(func(s *nic.State) { s.Offloads.VLAN = true }), served{queues: all}, "", false, ""},
		"fewer TX queues":    {with(func(s *nic.State) { s.TX = 1 }), served{queues: all, detours: []int{1}}, "tx-queues", false, "2 RX and 1 TX queues: what comes by queue 1"},
		"few CPUs":           {good, served{queues: all, unpinned: all, cpus: 1}, "cpus", false, "the workers of 2 queues (0, 1) have no CPU of their own: there are 2 queues, and 1 CPUs"},
	} {
		list := findings(&c.now, &c.s)
		if c.code != "" && !slices.ContainsFunc(events.Kinds, func(m events.Meaning) bool { return m.Kind == events.Kind(c.code) }) {
			t.Errorf("%s: %s is no kind of events", name, c.code)
		}
		switch {
		case c.code == "" && len(list) > 0:
			t.Errorf("%s: %+v", name, list)
		case c.code != "" && (len(list) != 1 || list[0].Code != c.code || list[0].Loss != c.loss || !strings.HasPrefix(list[0].Text, "eth0: ") || !strings.Contains(list[0].Text, c.text)):
			t.Errorf("%s: %+v, want %s with %q", name, list, c.code, c.text)
		}
	}
}

// Each finding is told once when it begins, when it is another one, and when it is over;
// since when it is so is kept.
func TestFindingsAreToldOnce(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log)}
	one := report.Finding{Port: "eth0", Code: "a", Text: "a is wrong"}
	two := report.Finding{Port: "eth0", Code: "b", Text: "b is wrong"}
	worse := report.Finding{Port: "eth0", Code: "a", Text: "a is worse"}
	for _, list := range [][]report.Finding{{one}, {one}, {one, two}, {worse, two}, {two}, {}, {}} {
		d.find("eth0", list)
		if n := len(d.state.findings); n != len(list) {
			t.Fatalf("%d are noted of %d", n, len(list))
		}
	}
	for text, want := range map[string]int{`"a is wrong"`: 1, `"b is wrong"`: 1, `"a is worse"`: 1, `"over: a is worse"`: 1, `"over: b is wrong"`: 1, "over": 2} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%s is told %d times, want %d:\n%s", text, n, want, out.String())
		}
	}
	d.find("eth0", []report.Finding{one})
	since := d.state.findings[0].Since
	d.find("eth0", []report.Finding{worse})
	if !d.state.findings[0].Since.Equal(since) || since.IsZero() {
		t.Error("the time when it began is lost")
	}
	d.enter(api.StateWaiting, errInterfaceGone)
	if d.state.findings != nil {
		t.Error("what was found of an interface that is away is kept")
	}
}

func TestOutgrown(t *testing.T) {
	served := func(mtu int, queues ...int) *engine.PortInfo {
		in := &engine.PortInfo{}
		for _, q := range queues {
			in.Sockets = append(in.Sockets, engine.SocketInfo{Info: xsk.Info{Interface: "eth0", Queue: q, MaxPacket: mtu + 22}})
		}
		// One that only sends says nothing.
		in.Sockets = append(in.Sockets, engine.SocketInfo{Info: xsk.Info{Interface: "eth0", Queue: xsk.NoQueue, Detour: true}})
		return in
	}
	sends := func(detour bool, mode xsk.Mode) *engine.PortInfo {
		return &engine.PortInfo{Sockets: []engine.SocketInfo{{Info: xsk.Info{Interface: "eth0", Queue: 1, MaxPacket: 1600, Detour: detour, Mode: mode}}}}
	}
	several := "MTU of 9000"
	if !xsk.MultiBuffer() {
		several = ""
	}
	for name, c := range map[string]struct {
		now  nic.State
		in   *engine.PortInfo
		mode config.XDPMode
		want string // part of the reason; empty: they stay
	}{
		"nothing has changed":  {nic.State{RX: 2, MTU: 1500}, served(1578, 0, 1), config.XDPAuto, ""},
		"more queues":          {nic.State{RX: 4, MTU: 1500}, served(1578, 0, 1), config.XDPAuto, ""},
		"a queue is gone":      {nic.State{RX: 2, MTU: 1500}, served(1578, 0, 2), config.XDPAuto, "queue 2"},
		"another is":           {nic.State{RX: 2, MTU: 1500}, served(1578, 1), config.XDPAuto, ""},
		"a TX queue has come":  {nic.State{RX: 2, TX: 2, MTU: 1500}, sends(true, xsk.ModeCopy), config.XDPAuto, "sends by 2 queues"},
		"a TX queue is gone":   {nic.State{RX: 2, TX: 1, MTU: 1500}, sends(false, xsk.ModeCopy), config.XDPAuto, "sends by 1 queues"},
		"it has none still":    {nic.State{RX: 2, TX: 1, MTU: 1500}, sends(true, xsk.ModeCopy), config.XDPAuto, ""},
		"zero-copy needs none": {nic.State{RX: 2, TX: 1, MTU: 1500}, sends(false, xsk.ModeZeroCopy), config.XDPAuto, ""},
		"larger packets":       {nic.State{RX: 1, MTU: 1579}, served(1578, 0), config.XDPAuto, "MTU of 1579"},
		"more than zero-copy":  {nic.State{RX: 1, MTU: 3100}, served(3050, 0), config.XDPAuto, "MTU of 3100"},
		"zero-copy is a must":  {nic.State{RX: 1, MTU: 3100, ZeroCopyFrames: 1}, served(3050, 0), config.XDPZeroCopy, ""},
		"larger than frames":   {nic.State{RX: 1, MTU: 9000}, served(xsk.MaxMTU(xsk.ModeCopy, 0), 0), config.XDPAuto, several},
		"the driver has none":  {nic.State{RX: 1, MTU: 9000, NoFrags: true}, served(xsk.MaxMTU(xsk.ModeCopy, 0), 0), config.XDPCopy, ""},
		"larger than any":      {nic.State{RX: 1, MTU: 9001}, served(xsk.LongMTU, 0), config.XDPAuto, ""},
		"the driver's own way": {nic.State{RX: 1, MTU: 3700, NoFrags: true}, served(3818, 0), config.XDPCopy, ""},
	} {
		d := &daemon{config: &config.Config{XDPMode: c.mode}, control: control.New(control.Options{Log: zap.NewNop(), Events: events.NewRecorder(zap.NewNop())})}
		err := d.outgrown(&c.now, c.in)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What is found of one interface leaves alone what was found of another, of the same kind
// too; and what was found of one that is away is forgotten without a word.
func TestFindingsOfSeveralInterfaces(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log)}
	of := func(port string) []report.Finding {
		return []report.Finding{{Port: port, Code: "mtu", Text: port + ": too large"}}
	}
	d.find("eth0", of("eth0"))
	d.find("eth1", of("eth1"))
	d.find("eth0", of("eth0"))
	if len(d.state.findings) != 2 {
		t.Errorf("%+v", d.state.findings)
	}
	d.forget("eth1")
	d.find("eth1", of("eth1"))
	d.find("eth0", nil)
	if len(d.state.findings) != 1 || d.state.findings[0].Port != "eth1" {
		t.Errorf("%+v", d.state.findings)
	}
	for text, want := range map[string]int{`"eth0: too large"`: 1, `"eth1: too large"`: 2, `over: eth0`: 1, `over: eth1`: 0} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%s is told %d times, want %d:\n%s", text, n, want, out.String())
		}
	}
}

// An interface that is there and can't be served is not called missing; and nothing is
// told twice in a row.
func TestWaitingIsToldWithItsReason(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log), config: &config.Config{Interfaces: config.InterfaceList{"eth0"}}}
	for _, err := range []error{errInterfaceGone, nic.ErrNoInterface, nic.ErrNoInterface, xsk.ErrNoQueue, xsk.ErrNoQueue, nic.ErrNoInterface} {
		d.tellWaiting(err)
		d.enter(api.StateWaiting, err)
	}
	if n := strings.Count(out.String(), "waiting for the interface"); n != 3 {
		t.Errorf("%d times waiting for the interface:\n%s", n, out.String())
	}
	if n := strings.Count(out.String(), "can't be served"); n != 1 {
		t.Errorf("%d times not to be served:\n%s", n, out.String())
	}
}

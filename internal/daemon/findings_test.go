package daemon

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/report"
	"github.com/afxlb/afxlb/xsk"
)

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

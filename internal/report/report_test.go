package report

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

func TestCountersNameEveryVerdictOnce(t *testing.T) {
	seen := map[string]int{}
	for _, k := range counters(&engine.Info{}) {
		seen[k.Group+"/"+k.Name]++
		if k.Help == "" {
			t.Errorf("%s/%s has no meaning", k.Group, k.Name)
		}
	}
	for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
		if seen["packets/"+v.String()] != 1 {
			t.Errorf("verdict %v is listed %d times", v, seen["packets/"+v.String()])
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
}

// Every loss is told, the largest first, that of the steering program included; what
// arrived is no loss.
func TestDrops(t *testing.T) {
	in := engine.Info{}
	in.Total.Verdicts[packet.Forwarded] = 1000
	in.Total.Verdicts[packet.Punted] = 500
	in.Total.Verdicts[packet.DropNoFlow] = 3
	in.Total.Verdicts[packet.DropWarming] = 7
	in.Ports = []engine.PortInfo{{Sockets: make([]engine.SocketInfo, 1)}, {Sockets: make([]engine.SocketInfo, 2)}}
	in.Ports[0].Steering[bpf.Passed] = 900
	in.Ports[0].Steering[bpf.DroppedNoSocket] = 2
	in.Ports[1].Steering[bpf.DroppedNoSocket] = 3
	in.Ports[0].Sockets[0].Kernel.RxRingFull = 2
	in.Ports[1].Sockets[1].Kernel.RxRingFull = 2
	in.Ports[1].Sockets[1].Kernel.Again = 99
	var got []string
	for _, c := range drops(&in) {
		got = append(got, c.Name)
	}
	if want := []string{"warming", "dropped-no-socket", "rx-ring-full", "no-flow"}; !slices.Equal(got, want) {
		t.Errorf("drops %q, want %q", got, want)
	}
}

// The workers' classes of verdicts add up to what they received.
func TestWorkerSums(t *testing.T) {
	w := engine.WorkerInfo{}
	for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
		w.Counters.Verdicts[v] = 1 << v
		w.Counters.Received += 1 << v
	}
	out := worker(&w, nil)
	if sum := out.Forwarded + out.Replied + out.Punted + out.Dropped; sum != out.Received {
		t.Errorf("classes sum up to %d, received %d", sum, out.Received)
	}
}

func TestWarnings(t *testing.T) {
	now := time.Now()
	backends := func(states ...string) (list []control.BackendView) {
		for i, s := range states {
			b := control.BackendView{Name: string(rune('a' + i)), State: s, Since: now}
			if s == control.BackendUnreachable {
				b.Reason = "own address"
			}
			list = append(list, b)
		}
		return list
	}
	up := control.ServiceView{Spec: &balancer.ServiceSpec{Name: "web"}, Up: 1, Backends: backends(control.BackendUp, control.BackendUnreachable)}
	dead := control.ServiceView{Spec: &balancer.ServiceSpec{Name: "api"}, Backends: backends(control.BackendDown)}
	warming := control.ServiceView{Spec: &balancer.ServiceSpec{Name: "new"}, Warming: true, Backends: backends(control.BackendWarming)}
	linked := control.LinkView{Up: true}
	for name, c := range map[string]struct {
		view  control.View
		about About
		want  []string // code, and a part of the text
	}{
		"all well": {control.View{Link: linked, Services: []control.ServiceView{warming}}, About{Reload: "ok"}, nil},
		"services": {control.View{Link: linked, Services: []control.ServiceView{up, dead}}, About{}, []string{"no-backend", "api", "unreachable", "own address): web/b"}},
		"fallbacks": {control.View{Link: linked, Services: []control.ServiceView{
			{Spec: &balancer.ServiceSpec{Name: "web"}, Up: 1, Fallback: control.FallbackBackup},
			{Spec: &balancer.ServiceSpec{Name: "api"}, Fallback: control.FallbackDown},
			{Spec: &balancer.ServiceSpec{Name: "tls"}, Up: 2, Fallback: control.FallbackPanic},
		}}, About{}, []string{"below-min-healthy", "asks for: api", "panic", "flows: tls", "backup", "can: web"}},
		"no link":    {control.View{Link: control.LinkView{Why: "no carrier"}, Table: &balancer.Table{}, Services: []control.ServiceView{dead}}, About{Ports: []Port{{Name: "eth0"}}}, []string{"link", "eth0: no carrier"}},
		"stalled":    {control.View{Link: linked}, About{Stalled: "worker 1"}, []string{"stalled", "not come round for seconds: worker 1;"}},
		"forgotten":  {control.View{Link: linked}, About{Forgotten: "it is forgotten"}, []string{"state-file", "it is forgotten"}},
		"state file": {control.View{Link: linked}, About{Unkept: "no space left on device"}, []string{"state-file", "not kept over a restart: no space left"}},
		"own trouble": {control.View{Link: linked, Failure: errors.New("no memory"), Troubles: []control.Trouble{{Cause: "x", Text: "too many open files"}}}, About{},
			[]string{"commit", "no memory", "probes", "too many open files"}},
		"reload": {control.View{Link: linked}, About{Reload: "f:1: x\nf:2: y\nf:3: z", NeedsRestart: []string{"queues", "log.format"}},
			[]string{"reload", "f:1: x (and 2 more lines)", "restart", "queues, log.format"}},
	} {
		got := warnings(&engine.Info{}, &c.view, &c.about)
		if len(got) != len(c.want)/2 {
			t.Errorf("%s: %d warnings, want %d: %+v", name, len(got), len(c.want)/2, got)
			continue
		}
		for i, w := range got {
			if w.Code != c.want[2*i] || !strings.Contains(w.Text, c.want[2*i+1]) {
				t.Errorf("%s: %+v, want %q", name, w, c.want[2*i:2*i+2])
			}
		}
	}
	hindered := engine.Info{Ports: []engine.PortInfo{{Punt: engine.PuntInfo{Obstacles: []string{"open /dev/net/tun: no such file or directory"}}}}}
	for mode, want := range map[balancer.Mode]bool{balancer.NAT: true, balancer.DSR: false} {
		view := &control.View{Link: linked, Spec: &balancer.Spec{Services: []balancer.ServiceSpec{{Mode: mode}}}}
		told := slices.ContainsFunc(warnings(&hindered, view, &About{}), func(w api.Warning) bool { return w.Code == "punt" && strings.Contains(w.Text, "/dev/net/tun") })
		if told != want {
			t.Errorf("%v: that there is no way back to the kernel is told: %v", mode, told)
		}
	}
	refused := engine.Info{Ports: []engine.PortInfo{{Punt: engine.PuntInfo{Device: "afxlb-punt0"}}}}
	refused.Total.Verdicts[packet.DropPuntFailed] = 3
	if list := warnings(&refused, &control.View{Link: linked}, &About{Lately: []string{"punt"}}); len(list) != 1 || list[0].Code != "punt" || !strings.Contains(list[0].Text, "3 packets") || !strings.Contains(list[0].Text, "is afxlb-punt0 up?") {
		t.Errorf("what the kernel did not take: %+v", list)
	}
	unfinished := engine.Info{Total: engine.Counters{Completed: 7}}
	for _, count := range []*engine.Info{&refused, &unfinished} {
		if list := warnings(count, &control.View{Link: linked}, &About{}); len(list) != 0 {
			t.Errorf("of what was long ago: %+v", list)
		}
	}
	if list := warnings(&unfinished, &control.View{Link: linked}, &About{Lately: []string{"checksums"}}); len(list) != 1 || list[0].Code != "checksums" || !strings.Contains(list[0].Text, "7 packets") {
		t.Errorf("unfinished checksums: %+v", list)
	}
	generic := warnings(&engine.Info{Ports: []engine.PortInfo{{Name: "eth0"}, {Name: "eth1", Attached: bpf.Generic}}}, &control.View{Link: linked}, &About{Mode: "auto"})
	if !slices.ContainsFunc(generic, func(w api.Warning) bool { return w.Code == "generic" }) {
		t.Error("generic mode is not told")
	}
}

// Who loses packets does not just serve, and says why; what is only slow is a warning.
func TestCondition(t *testing.T) {
	loss, slow := Finding{Code: "queues", Text: "eth0: lost", Loss: true}, Finding{Code: "cpus", Text: "eth0: slow"}
	up := control.View{Link: control.LinkView{Up: true}, Table: &balancer.Table{}}
	down := control.View{Link: control.LinkView{Why: "no carrier"}, Table: &balancer.Table{}}
	for name, c := range map[string]struct {
		view          *control.View
		findings      []Finding
		state, reason string
	}{
		"well":             {&up, nil, "serving", ""},
		"slow":             {&up, []Finding{slow}, "serving", ""},
		"loss":             {&up, []Finding{slow, loss}, "degraded", "eth0: lost"},
		"no link":          {&down, []Finding{loss}, "degraded", "no carrier"},
		"nothing is known": {&control.View{}, nil, "serving", ""},
	} {
		state, reason := condition(c.view, &About{Findings: c.findings})
		if state != c.state || reason != c.reason {
			t.Errorf("%s: %s (%s), want %s (%s)", name, state, reason, c.state, c.reason)
		}
	}
	list := warnings(&engine.Info{}, &up, &About{Findings: []Finding{slow, loss}, NeedsRestart: []string{"x"}})
	var codes []string
	for _, w := range list {
		codes = append(codes, w.Code)
	}
	if want := []string{"queues", "restart", "cpus"}; !slices.Equal(codes, want) {
		t.Errorf("warnings %q, want %q", codes, want)
	}
}

// A worker's frames are as its socket has them.
func TestWorkerFrames(t *testing.T) {
	w := engine.WorkerInfo{Frames: xsk.Account{Free: 1, Filled: 2, Held: 3, Transmit: 4}}
	sockets := []engine.SocketInfo{{Info: xsk.Info{FrameSize: 2048, Detour: true}}, {Info: xsk.Info{FrameSize: 2048}}}
	if got := worker(&w, sockets); got.Frames != (api.Frames{Free: 1, Filled: 2, Held: 3, Transmit: 4, Total: 10, Size: 2048}) || !got.Detour {
		t.Errorf("%+v", got)
	}
}

// Each interface says how it is served, or why it is not.
func TestPorts(t *testing.T) {
	in := engine.Info{Ports: []engine.PortInfo{
		{Name: "eth0", Index: 3, Attached: bpf.Native, Sockets: []engine.SocketInfo{
			{Info: xsk.Info{Interface: "eth0", Queue: 0, Mode: xsk.ModeCopy}}, {Info: xsk.Info{Interface: "eth0", Queue: xsk.NoQueue}},
		}},
		{Name: "eth1", Apart: "driver asavie"},
	}}
	in.Total.Ports[0] = engine.PortCounters{Received: 7, Sent: 5}
	in.Total.Ports[1] = engine.PortCounters{Received: 1, Sent: 6, Copied: 6}
	in.Ports = slices.Insert(in.Ports, 1, engine.PortInfo{}) // a number that a bond's slave had
	in.Total.Ports[1], in.Total.Ports[2] = engine.PortCounters{Received: 9}, in.Total.Ports[1]
	a := About{Ports: []Port{{Name: "eth0"}, {}, {Name: "eth1", Away: "no such interface"}}}
	if got := names(a.Ports); got != "eth0, eth1" {
		t.Errorf("names %q", got)
	}
	got := ports(&in, &a)
	want := []api.Port{
		{Name: "eth0", State: "serving", XDPMode: "native", Bind: "copy", Queues: []int{0}, Received: 7, Sent: 5},
		{Name: "eth1", State: "waiting", Reason: "no such interface", Queues: []int{}, Received: 1, Sent: 6, Copied: 6, Apart: "driver asavie"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// That one of several interfaces is away is told, while the others serve; so is what is
// copied.
func TestPortAway(t *testing.T) {
	up := control.View{Link: control.LinkView{Up: true}, Table: &balancer.Table{}}
	a := About{State: api.StateServing, Ports: []Port{{Name: "eth0"}, {Name: "eth1", Away: "it is gone"}}}
	if state, reason := condition(&up, &a); state != api.StateDegraded || reason != "eth1: it is gone" {
		t.Errorf("%s (%s)", state, reason)
	}
	in := engine.Info{Ports: []engine.PortInfo{{Name: "eth0", Apart: "why"}, {Name: "eth1"}}}
	list := warnings(&in, &up, &a)
	if len(list) != 2 || list[0].Code != "port" || !strings.Contains(list[0].Text, "eth1 is not served: it is gone") || list[1].Code != "copied" {
		t.Errorf("%+v", list)
	}
	if a.State = api.StateWaiting; len(warnings(&in, &up, &a)) != 1 {
		t.Error("while nothing is served, that is said once")
	}
}

func TestSome(t *testing.T) {
	if got := some([]string{"a", "b"}); got != "a, b" {
		t.Errorf("%q", got)
	}
	if got := some([]string{"a", "b", "c", "d", "e", "f", "g"}); got != "a, b, c, d, e and 2 more" {
		t.Errorf("%q", got)
	}
}

// What operators have changed is told with each backend, and of all of them together.
func TestOverrides(t *testing.T) {
	drained := control.Setting{State: control.BackendDrain}
	v := &control.View{Link: control.LinkView{Up: true}, Services: []control.ServiceView{{
		Spec: &balancer.ServiceSpec{Name: "web", Backends: []balancer.BackendSpec{{Weight: 3}, {Weight: 4}, {Weight: 5}}},
		Backends: []control.BackendView{
			{Name: "a", State: "drain", Override: control.Override{Setting: drained, Lasting: drained}},
			{Name: "b", State: "up", Weight: 9, Override: control.Override{Setting: control.Setting{Weighted: true, Weight: 9}}},
			{Name: "c", State: "up", Weight: 5, Override: control.Override{Lasting: drained}}, // enabled until the next start
		},
	}}}
	want := []api.Override{{Service: "web", Backend: "a", Setting: "drain", Kept: true}, {Service: "web", Backend: "b", Setting: "weight 9"}}
	if got := overrides(&v.Services[0]); !slices.Equal(got, want) {
		t.Errorf("overrides are %+v, want %+v", got, want)
	}
	for j, want := range []api.Backend{{Weight: 0, FileWeight: 3, Override: "drain"}, {Weight: 9, FileWeight: 4, Override: "weight 9"}, {Weight: 5, FileWeight: 5}} {
		if b := describe(v, &v.Services[0], j); b.Weight != want.Weight || b.FileWeight != want.FileWeight || b.Override != want.Override {
			t.Errorf("%+v, want %+v", b, want)
		}
	}
}

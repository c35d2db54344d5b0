package daemon

import (
	"strings"
	"testing"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Each bound is told of once when it is met, however often, and once when it has not been
// for some time.
func TestBounds(t *testing.T) {
	blank := func() engine.Info {
		return engine.Info{
			Flows: conntrack.Stats{MaxFlows: 100},
			Ports: []engine.PortInfo{{Sockets: make([]engine.SocketInfo, 2)}, {Sockets: []engine.SocketInfo{{Info: xsk.Info{Interface: "eth1"}}}}},
		}
	}
	for name, c := range map[string]struct {
		kind events.Kind
		meet func(in *engine.Info, times int)
		part string
	}{
		"evictions": {events.FlowTable, func(in *engine.Info, n int) { in.Flows.EvictedEstablished = uint64(n) }, "established flows make way"},
		"nearly full": {events.FlowTable, func(in *engine.Info, n int) {
			if n > 0 {
				in.Flows.Flows[conntrack.TCPEstablished] = 80 + 5*n
			}
		}, "nearly full"},
		"clients":  {events.Clients, func(in *engine.Info, n int) { in.Clients.Evicted = uint64(n) }, "persistence"},
		"answers":  {events.ReplyLimit, func(in *engine.Info, n int) { in.Total.Verdicts[packet.DropReplyLimit] = uint64(n) }, "answers"},
		"punts":    {events.PuntLimit, func(in *engine.Info, n int) { in.Total.Verdicts[packet.DropPuntLimit] = uint64(n) }, "kernel"},
		"full":     {events.BackendFull, func(in *engine.Info, n int) { in.Total.Full = uint64(n) }, "max-conns"},
		"overload": {events.Overload, func(in *engine.Info, n int) { in.Ports[1].Sockets[0].Kernel.RxRingFull = uint64(n) }, "faster"},
	} {
		p := pressure{before: blank(), ask: beside{func() string { return "web, dns" }, func() (string, int64) { return "", 0 }}}
		var told []events.Event
		look := func(n int) {
			in := blank()
			c.meet(&in, n)
			told = append(told, p.look(in)...)
		}
		if met := p.met(); met != nil {
			t.Fatalf("%s: warned of before it is met: %+v", name, met)
		}
		full := 2 // of "nearly full" it is the first that counts
		look(0)
		if len(told) != 0 {
			t.Fatalf("%s: told of before it is met: %+v", name, told)
		}
		for i := range 3 {
			look(full + i)
		}
		if len(told) != 1 || told[0].Kind != c.kind || told[0].Over || !strings.Contains(told[0].Text, c.part) {
			t.Fatalf("%s: %+v, want one of %s with %q", name, told, c.kind, c.part)
		}
		if met := p.met(); len(met) != 1 || met[0].Code != string(c.kind) || !strings.Contains(met[0].Text, c.part) || met[0].Since.IsZero() {
			t.Errorf("%s: %+v, want a warning while it is met", name, met)
		}
		if of := p.met()[0].Text; c.kind == events.BackendFull && (told[0].Reason != "web, dns" || !strings.HasSuffix(of, ": web, dns")) {
			t.Errorf("%s: %+v and %q, want whose backends these are", name, told[0], of)
		}
		rest := full + 2
		if name == "nearly full" {
			rest = 0
		}
		for range boundQuiet - 1 {
			look(rest)
		}
		if len(told) != 1 {
			t.Errorf("%s: over too early: %+v", name, told[1:])
		}
		for range boundQuiet {
			look(rest)
		}
		if len(told) != 2 || !told[1].Over || told[1].Kind != c.kind || !strings.HasPrefix(told[1].Text, "over: ") {
			t.Errorf("%s: %+v, want that it is over", name, told[1:])
		}
		if met := p.met(); met != nil {
			t.Errorf("%s: warned of when it is over: %+v", name, met)
		}
	}
}

// Clients that come to one in vain who is up are told of if that lasts, and goes on; the end of it
// is told too.
func TestUnanswered(t *testing.T) {
	const dies, lasts = boundQuiet, boundQuiet + 1
	for name, c := range map[string]struct {
		inVain, rests int // looks with one more client each, and then without another
		told          int
		over          bool
	}{
		"one that dies":      {dies, 30, 0, false},
		"one that stays up":  {lasts + 20, 1, 1, false},
		"nobody comes there": {lasts, boundQuiet, 1, true},
	} {
		who, times := "", int64(0)
		p := pressure{ask: beside{nil, func() (string, int64) { return who, times }}}
		var told []events.Event
		for range c.inVain {
			who, times = "web/a", times+3
			told = append(told, p.look(engine.Info{Flows: conntrack.Stats{MaxFlows: 100}})...)
		}
		if met := p.met(); c.told > 0 && (len(met) != 1 || !strings.HasSuffix(met[0].Text, ": web/a")) {
			t.Errorf("%s: %+v, want a warning with its name", name, met)
		}
		for range c.rests {
			told = append(told, p.look(engine.Info{Flows: conntrack.Stats{MaxFlows: 100}})...)
		}
		want := c.told
		if c.over {
			want++
		}
		if len(told) != want || want > 0 && (told[0].Reason != "web/a" || told[want-1].Over != c.over) {
			t.Errorf("%s: %+v, want %d of it, over: %v", name, told, c.told, c.over)
		}
	}
}

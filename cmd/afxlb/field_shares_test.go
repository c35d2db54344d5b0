package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// shared writes a config whose web service has these keys, and whose backends have these
// further ones each.
func (w *world) shared(keys string, each ...string) string {
	w.t.Helper()
	list := backendsOf(natVIP4)
	for i, more := range each {
		list[i] = strings.Replace(list[i], "}", ", "+more+"}", 1)
	}
	return w.writeConfig("afxlb.yaml", entry("web", natVIP4, port, "mode: nat, algorithm: round-robin, "+keys+quickHealth, list...))
}

// falls waits until the service falls back on something, or on nothing, with so many backends
// in rotation.
func (p *process) falls(on string, rotation int) {
	p.t.Helper()
	p.await(fmt.Sprintf("fall back on %q, with %d in rotation", on, rotation), func(api.Status) bool {
		list, err := p.api.Services(p.t.Context())
		return err == nil && list[0].Fallback == on && list[0].InRotation == rotation
	})
}

// only asks some times, and all that answer must be these.
func (w *world) only(names string) {
	w.t.Helper()
	if by := fmt.Sprint(w.mustAnswer(6, natVIP4)); !strings.Contains(by, names) || strings.Count(by, "b") != strings.Count(names, "b") {
		w.t.Errorf("the answers are from %s, want %s alone", by, names)
	}
}

func (w *world) restart(i int) {
	w.t.Helper()
	if err := w.web[i].Start(); err != nil {
		w.t.Fatal(err)
	}
}

// A backup takes over when nobody else is left, and gives back; who is back ramps; too few of
// the others are a reason for panic, or an end.
func TestFieldFallbacks(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.shared("slow-start: 4s, ", "weight: 1", "weight: 1", "backup: true"))
	if by := w.mustAnswer(20, natVIP4); by["b2"] != 0 || by["b0"] != 10 {
		t.Errorf("with a backup that is not needed, 20 requests went to %v", by)
	}
	w.web[0].Kill()
	w.web[1].Kill()
	p.falls("backup", 1)
	w.only("b2")
	if text := warned(p.status(), "backup"); !strings.HasSuffix(text, ": web") {
		t.Errorf("warned: %q", text)
	}
	w.restart(0)
	p.falls("", 1)
	w.only("b0")
	p.await("end the first ramp", func(api.Status) bool { return p.backend("web", "b0").Share == 100 })
	w.restart(1)
	p.falls("", 2)
	before := p.backend("web", "b1")
	by := w.mustAnswer(40, natVIP4)
	if after := p.backend("web", "b1"); after.Share < 60 && by["b1"] > 16 {
		t.Errorf("with a share of %d%%, and %d%% then, b1 got %v", before.Share, after.Share, by)
	}
	if !strings.HasPrefix(before.Reason, "ramping ") || p.backend("web", "b2").Reason != "backup, not needed" {
		t.Errorf("told: %q and %q", before.Reason, p.backend("web", "b2").Reason)
	}
	p.await("end the ramp", func(api.Status) bool { return p.backend("web", "b1").Share == 100 })
	if by := w.mustAnswer(20, natVIP4); by["b0"] < 9 || by["b0"] > 11 {
		t.Errorf("after the ramp, 20 requests went to %v", by)
	}
	p.awaitLines(1, "backup backends take new flows")
	p.awaitLines(1, "over: backup backends take new flows")

	w.shared("min-healthy: 60%, below-min-healthy: panic, ")
	p.reload()
	p.falls("", 3)
	w.web[0].Kill()
	w.web[1].Kill()
	p.falls("panic", 3)
	if b := p.backend("web", "b0"); b.State != "down" || b.Share != 100 || !strings.Contains(b.Reason, "panic") {
		t.Errorf("in panic b0 is %+v", b)
	}
	answered := 0
	for range 9 {
		if name, err := w.get(natVIP4); err == nil && name == "b2" {
			answered++
		}
	}
	if answered < 2 || answered > 4 { // each of two workers has turns of its own
		t.Errorf("in panic %d of 9 requests were answered, want about the third that the living one gets", answered)
	}

	w.shared("min-healthy: 2, below-min-healthy: down, ")
	p.reload()
	p.falls("down", 0)
	if name, err := w.get(natVIP4); err == nil {
		t.Errorf("a service that is taken down was answered for by %s", name)
	}
	w.restart(0)
	p.falls("", 2)
	w.mustAnswer(4, natVIP4)
	p.awaitLines(1, "over: the service is taken down")
	p.checkSums()
	p.stop()
}

// Of a crowd that comes at one moment by both queues, as many get through as the backends may
// have connections, exactly; the others are told so, and it is counted and told. Each
// connection that ends makes room for one.
func TestFieldMaxConns(t *testing.T) {
	const each, crowd = 4, 60
	w := newWorld(t)
	limit := fmt.Sprint("max-conns: ", each)
	p := w.serve(w.shared("", limit, limit, limit))

	// SYNs with false sources, more than the backends may have connections, keep nobody out.
	for _, h := range w.lab.Backends {
		if err := h.Route(floodNet, own4, lab.Interface); err != nil {
			t.Fatal(err)
		}
	}
	forged := w.newFloodTo(port, natVIP4)
	for n := range uint32(100) {
		if err := forged.send(n); err != nil {
			t.Fatal(err)
		}
	}
	p.await("have many that only knock", func(s api.Status) bool { return s.Flows.ByClass["tcp-syn"] >= 80 })

	clients := make([]*visit, crowd)
	names := make([]string, crowd)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			var err error
			if clients[i], err = w.visit(natVIP4); err == nil {
				names[i], _ = clients[i].ask()
			}
		})
	}
	all.Wait()
	by := map[string]int{}
	for _, name := range names {
		if name != "" {
			by[name]++
		}
	}
	if by["b0"] != each || by["b1"] != each || by["b2"] != each {
		t.Errorf("of a crowd of %d got through %v, want %d at each", crowd, by, each)
	}
	if name, err := w.get(natVIP4); err == nil {
		t.Errorf("%s answered one more", name)
	}
	if b := p.backend("web", "b1"); !b.Full || b.Standing != each || b.MaxConns != each || b.Reason != "full" {
		t.Errorf("a full backend is %+v", b)
	}
	p.await("count who could not begin", func(api.Status) bool { return p.counter("services", "full") >= crowd+1-3*each })
	p.awaitLines(1, "max-conns connections, and can't begin.*reason\": \"web\"")
	p.await("warn of it", func(s api.Status) bool { return strings.HasSuffix(warned(s, "backend-full"), ": web") })
	said, err := p.api.Trace(t.Context(), &api.TraceQuery{Packet: fmt.Sprintf("tcp 198.51.100.7:40000 > %v:%d", natVIP4, port)})
	if text := fmt.Sprint(said.Steps); err != nil || !strings.Contains(text, "everybody of web in rotation has as many connections") {
		t.Errorf("what keeps a client out is %s, %v", text, err)
	}
	for i, name := range names { // known connections go on, and one ends
		if name == "" {
			continue
		}
		if again, err := clients[i].ask(); again != name {
			t.Errorf("a connection to %s has come to %q, %v", name, again, err)
		}
	}
	for i, name := range names {
		if name == "b1" {
			clients[i].Close()
			break
		}
	}
	p.await("have room", func(api.Status) bool { return !p.backend("web", "b1").Full })
	if name, err := w.get(natVIP4); name != "b1" {
		t.Errorf("with room at b1 a new one went to %q, %v", name, err)
	}
	p.checkSums()

	w.shared("")
	p.reload()
	w.mustAnswer(30, natVIP4)
	p.stop()
}

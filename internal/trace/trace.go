package trace

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/replay"
	"github.com/afxlb/afxlb/xsk"
)

// Tracer traces packets of a running engine, one at a time: each takes some MB for a moment.
type Tracer struct {
	Engine *engine.Engine
	Ports  func() []string // names of the interfaces, by number

	mu sync.Mutex
}

// stranger is the MAC address that a packet comes from, if nobody else is known.
var stranger = packet.MAC{2, 0, 0, 0, 0, 1}

// Trace returns what would become of a packet now. It changes nothing. What can't be asked is an
// error of [api.Refuse], and an interface or a queue that is not served an [api.MachineError].
func (t *Tracer) Trace(q *api.TraceQuery) (out api.Trace, err error) {
	s, err := Parse(q.Packet)
	if err != nil {
		return out, api.Refuse(http.StatusUnprocessableEntity, err.Error())
	}
	ports := t.Ports()
	port := max(slices.IndexFunc(ports, func(name string) bool { return name != "" }), 0)
	if q.Interface != "" {
		if port = slices.Index(ports, q.Interface); port < 0 {
			return out, api.MachineError{Err: fmt.Errorf("the interface %q is not served; there are %s", q.Interface, strings.Join(ports, ", "))}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &run{ports: ports, port: port}
	table := t.Engine.Table()
	r.frame = s.Frame(table.Ports[port].MAC, cmp.Or(s.From, senderOf(table, &s), stranger))
	out = api.Trace{Packet: s.String(), Interface: ports[port], Queue: q.Queue, Generation: table.Generation}
	if err := r.shadow(t.Engine, q.Queue); err != nil {
		return out, err
	}
	defer r.close()
	return out, r.follow(&out)
}

// senderOf returns the MAC address of the backend whose address the packet comes from; zero: it is none.
func senderOf(t *balancer.Table, s *Spec) packet.MAC {
	src := packet.AddrFrom(s.Src.Addr())
	for i := range t.Backends {
		if b := &t.Backends[i]; b.Address == src && b.Flags&balancer.HasMAC != 0 {
			return packet.WordMAC(balancer.HopMAC(b.Next))
		}
	}
	return packet.MAC{}
}

// run is one packet's way.
type run struct {
	ports  []string
	port   int // that it comes by
	frame  []byte
	wires  []*replay.Wire
	worker *engine.Shadow
	sent   []sent
	steps  []api.TraceStep
}

type sent struct {
	frame []byte
	port  int
}

// shadow makes the worker that is to handle the packet.
func (r *run) shadow(e *engine.Engine, queue int) (err error) {
	var first *replay.Wire
	var sockets []*xsk.Socket
	for i := range r.ports {
		w, err := replay.NewWire(i, len(r.ports), first, func(b []byte) { r.sent = append(r.sent, sent{slices.Clone(b), i}) })
		if err != nil {
			return err
		}
		first = cmp.Or(first, w)
		r.wires, sockets = append(r.wires, w), append(sockets, w.Socket())
	}
	if r.worker, err = e.Shadow(queue, r.frame, sockets...); errors.Is(err, engine.ErrNoQueue) {
		return api.MachineError{Err: err}
	}
	if err != nil {
		return err
	}
	if r.worker.Away(r.port) {
		r.close()
		return api.MachineError{Err: fmt.Errorf("the interface %q is away: nothing comes by it", r.ports[r.port])}
	}
	return nil
}

func (r *run) close() {
	_ = r.worker.Close() // of /dev/null
	for _, s := range r.wires {
		_ = s.Socket().Close()
	}
}

func (r *run) step(name, by, format string, args ...any) {
	r.steps = append(r.steps, api.TraceStep{Step: name, By: by, Text: fmt.Sprintf(format, args...)})
}

// follow has the packet go its way, and tells of it.
func (r *run) follow(out *api.Trace) error {
	defer func() { out.Steps = r.steps }()
	out.Sent = []api.TraceSent{}
	why, err := r.steer()
	if err != nil {
		return err
	}
	out.Steering, out.Verdict = why.String(), replay.VerdictPassed
	if why == bpf.Passed {
		r.step("verdict", replay.VerdictPassed, "the kernel keeps the packet, and the balancer never sees it")
		return nil
	}
	fits, err := r.wires[r.port].Deliver(r.frame)
	if err != nil {
		return err
	}
	if !fits {
		return api.Refuse(http.StatusUnprocessableEntity, "the packet does not fit into a frame")
	}
	r.parse()
	end, err := r.worker.Handle()
	if err != nil {
		return err
	}
	for _, f := range r.worker.Findings() {
		r.found(&f)
	}
	r.conclude(out, end)
	return nil
}

// steer asks the steering program.
func (r *run) steer() (bpf.Reason, error) {
	o, err := bpf.NewOffline()
	if err == nil {
		err = o.ApplyAt(r.worker.Plan(), r.port)
	}
	if err != nil {
		return bpf.Passed, err
	}
	why, entries, err := o.Explain(r.frame)
	if err != nil {
		return why, err
	}
	for _, e := range entries {
		switch {
		case e.Key == "":
			r.step("steering", e.Map, "the machine's own sockets are asked, too; taken for: there is none with these ends")
		case e.Found:
			r.step("steering", e.Map+"["+e.Key+"]", "it is in the map")
		default:
			r.step("steering", e.Map+"["+e.Key+"]", "it is not in the map")
		}
	}
	r.step("steering", why.String(), "%s", why.Help())
	return why, nil
}

// parse says what the packet is.
func (r *run) parse() {
	var p packet.Packet
	v := packet.Parse(r.frame, &p)
	if v != packet.Pending && v != packet.DropICMP && v != packet.DropFragment {
		r.step("parse", v.String(), "%s", v.Help())
		return
	}
	r.step("parse", "headers", "%s, %d bytes, TTL %d", describe(r.frame), p.End-p.L3, p.Hops(r.frame))
}

// describe says what a frame has, for people.
func describe(frame []byte) string {
	t, _ := replay.Look(frame)
	if t.Source.Port() == 0 && t.Destination.Port() == 0 {
		return fmt.Sprintf("%s %s > %s", t.Protocol, t.Source.Addr(), t.Destination.Addr())
	}
	return fmt.Sprintf("%s %s > %s", t.Protocol, t.Source, t.Destination)
}

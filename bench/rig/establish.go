package rig

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// chunk is how many flows are in a handshake at a time: few enough for the budget of
// half-open ones, however small the table.
const chunk = 1024

// establish opens all connections as clients and backends do, in the order of their
// numbers, each packet through the worker that will get those of its direction later.
func (r *Rig) establish(progress func(string)) error {
	h := newHandshake(r)
	if r.translatesSource() {
		r.ends = make([]traffic.End, r.config.Flows)
	}
	shown := time.Time{}
	for first := 0; first < r.config.Flows; first += chunk {
		if time.Since(shown) > time.Second {
			shown = time.Now()
			progress(fmt.Sprintf("establishing flows, %d %%", first*100/r.config.Flows))
		}
		last := min(first+chunk, r.config.Flows)
		if err := r.shakeHands(h, uint32(first), uint32(last)); err != nil {
			return err
		}
	}
	in, err := r.totals()
	if err != nil {
		return err
	}
	if n := in.Flows.Flows[r.established()]; n < r.config.Flows-r.config.Flows/50 {
		return fmt.Errorf("rig: %d of %d flows are established: %+v", n, r.config.Flows, in.Flows)
	}
	return nil
}

// established returns the class that the handshake brings a flow to.
func (r *Rig) established() conntrack.Class {
	if r.replies() {
		return conntrack.TCPEstablished
	}
	return conntrack.TCPOneSided
}

// handshake is the three packets that open a connection.
type handshake struct {
	syn, ack *traffic.Template
	synACK   [backends]*traffic.Template
}

func newHandshake(r *Rig) *handshake {
	f, reply := r.config.Family, traffic.NewReply
	if r.translatesSource() {
		reply = traffic.NewAnswer
	}
	h := &handshake{
		syn: traffic.NewRequest(f, packet.TCPSyn, traffic.Smallest),
		ack: traffic.NewRequest(f, packet.TCPAck, traffic.Smallest),
	}
	for b := range h.synACK {
		h.synACK[b] = reply(f, b, packet.TCPSyn|packet.TCPAck, traffic.Smallest)
	}
	return h
}

func (r *Rig) shakeHands(h *handshake, first, last uint32) error {
	r.record(r.ends != nil)
	err := r.send(first, last, conntrack.Request, func(int) *traffic.Template { return h.syn })
	if err == nil && r.ends != nil {
		err = r.learnEnds(first, last)
	}
	if err == nil && r.replies() {
		err = r.send(first, last, conntrack.Reply, func(b int) *traffic.Template { return h.synACK[b] })
	}
	if err == nil {
		err = r.send(first, last, conntrack.Request, func(int) *traffic.Template { return h.ack })
	}
	return err
}

func (r *Rig) record(on bool) {
	for _, l := range r.lines {
		l.kernel.Record(on)
	}
}

// learnEnds reads in what was sent of the requests of some flows, one of each in order, where
// their replies go.
func (r *Rig) learnEnds(first, last uint32) error {
	sent := make([][][]byte, len(r.lines))
	for i, l := range r.lines {
		sent[i] = l.kernel.Sent()
	}
	r.record(false)
	for n := first; n < last; n++ {
		i := traffic.NewPacket(n, r.backendOf(n), conntrack.Request).Owner(len(r.lines))
		if len(sent[i]) == 0 {
			return fmt.Errorf("rig: the request of flow %d was not sent", n)
		}
		var p packet.Packet
		if v := packet.Parse(sent[i][0], &p); v != packet.Pending {
			return fmt.Errorf("rig: the request of flow %d left as %v", n, v)
		}
		sent[i] = sent[i][1:]
		r.ends[n] = traffic.End{Low: uint32(binary.BigEndian.Uint16(p.Key.Src[14:])), Port: p.Key.SrcPort}
	}
	return nil
}

// send sends one packet of each flow, untimed.
func (r *Rig) send(first, last uint32, d conntrack.Direction, template func(backend int) *traffic.Template) error {
	for n := first; n < last; n++ {
		backend := r.backendOf(n)
		l := r.lines[traffic.NewPacket(n, backend, d).Owner(len(r.lines))]
		b, err := l.buffer()
		if err != nil {
			return err
		}
		if d == conntrack.Reply && r.ends != nil {
			l.push(template(backend).WriteTo(b, r.ends[n]))
		} else {
			l.push(template(backend).Write(b, n))
		}
		if l.waiting == batch {
			if _, err := l.step(time.Time{}); err != nil {
				return err
			}
		}
	}
	for _, l := range r.lines {
		if _, err := l.step(time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

package rig

import (
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// batch is the packets that a worker finds at a time, as many as it takes.
const batch = 128

// line is one worker, its kernel, and the packets that come to it. It belongs to one
// goroutine.
type line struct {
	rig     *Rig
	worker  int
	kernel  *xsktest.Kernel
	packets []traffic.Packet // of known flows, over and over
	next    int
	syn     *traffic.Template
	fresh   uint32  // client of the next new flow
	due     float64 // new flows
	waiting int     // packets delivered, not handled
}

func newLine(r *Rig, worker int, k *xsktest.Kernel) *line {
	return &line{
		rig: r, worker: worker, kernel: k,
		syn:   traffic.NewRequest(r.config.Family, packet.TCPSyn, traffic.Smallest),
		fresh: traffic.Fresh | uint32(worker)<<29,
	}
}

// buffer returns room for a packet.
func (l *line) buffer() ([]byte, error) {
	b := l.kernel.Buffer()
	if b == nil {
		return nil, fmt.Errorf("rig: no frame for worker %d to receive into: %+v", l.worker, l.kernel.Socket().Account())
	}
	return b, nil
}

func (l *line) push(n int) {
	l.kernel.Push(n)
	l.waiting++
}

// fill delivers a batch, a share of which are the first packets of new flows, evenly
// spread.
func (l *line) fill(frames *traffic.Frames, share float64) error {
	for range batch {
		b, err := l.buffer()
		if err != nil {
			return err
		}
		if l.due += share; l.due >= 1 {
			l.due--
			l.push(l.syn.Write(b, l.fresh))
			l.fresh = traffic.Fresh | (l.fresh + 1)
			continue
		}
		l.push(frames.Write(b, l.packets[l.next]))
		if l.next++; l.next == len(l.packets) {
			l.next = 0
		}
	}
	return nil
}

// step has the worker handle what was delivered, takes away what it sent, and returns
// how long the worker was at it. since is any moment before: a clock reading that is
// relative costs half of an absolute one.
func (l *line) step(since time.Time) (time.Duration, error) {
	l.kernel.Publish()
	start := time.Since(since)
	n, err := l.rig.engine.Step(l.worker)
	took := time.Since(since) - start
	if err != nil {
		return 0, fmt.Errorf("rig: worker %d: %w", l.worker, err)
	}
	if n != l.waiting {
		return 0, fmt.Errorf("rig: worker %d handled %d of %d packets", l.worker, n, l.waiting)
	}
	l.waiting = 0
	l.kernel.Transmit()
	return took, nil
}

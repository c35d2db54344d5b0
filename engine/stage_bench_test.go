package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// BenchmarkStage is each stage of the worker's pass by itself, over and over on the same
// batch: the instructions, without the misses of a real mix of packets. Together with
// BenchmarkKnownFlows it says where a pass's time goes.
//
//	go test -run '^$' -bench Stage ./engine
func BenchmarkStage(b *testing.B) {
	for _, vip := range []string{vip4, vip6} {
		b.Run(family(vip), func(b *testing.B) {
			l := newLoad(b, balancer.NAT, vip, 1000)
			w, k := l.engine.workers[0], l.kernels[0]
			l.deliver()
			stage := func(name string, do func()) {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						do()
					}
					perPacket(b)
				})
			}
			if n := w.receive(); n != batchSize {
				b.Fatalf("received %d packets", n)
			}
			stage("parse", func() { w.parse(0, batchSize) })
			stage("find", func() { w.find(0, batchSize) })
			stage("handle", func() {
				for i, frame := range w.frames {
					w.verdicts[i] = packet.Pending
					frame[21], frame[22] = 64, 64 // hop limit or TTL: it must not run out
				}
				w.handle(0, batchSize)
			})
			w.parse(0, batchSize)
			w.handle(0, batchSize)
			if err := w.send(batchSize); err != nil {
				b.Fatal(err)
			}
			// Both ends of the rings, and the other side's part of them.
			stage("rings", func() {
				for range batchSize {
					k.Buffer()
					k.Push(64)
				}
				k.Publish()
				n := w.receive()
				for i := range w.verdicts[:n] {
					w.verdicts[i] = packet.Forwarded
				}
				if err := w.send(n); err != nil || n != batchSize {
					b.Fatal(n, err)
				}
			})
		})
	}
}

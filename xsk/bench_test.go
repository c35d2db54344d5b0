package xsk_test

import (
	"testing"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

const batch = 64

// turn receives a batch and sends it on, as a worker does.
func turn(k *xsktest.Kernel, s *xsk.Socket, packets [][]byte, descs []xsk.Desc) int {
	k.DeliverAll(packets)
	n := s.Receive(descs)
	sent := s.Transmit(descs[:n-n/8])
	s.Release(descs[sent:n])
	s.Flush()
	s.Recycle()
	return n
}

func turnInputs() (*xsktest.Kernel, [][]byte, []xsk.Desc) {
	k := xsktest.New(4096, 2048, 1024)
	k.Record(false)
	packets := make([][]byte, batch)
	for i := range packets {
		packets[i] = make([]byte, 60)
	}
	return k, packets, make([]xsk.Desc, batch)
}

func TestNoAllocations(t *testing.T) {
	k, packets, descs := turnInputs()
	got := testing.AllocsPerRun(1000, func() {
		if turn(k, k.Socket(), packets, descs) != batch {
			t.Fatal("batch not received whole")
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a batch", got)
	}
}

// BenchmarkTurn is receive, transmit and recycle of 64 packets, the fake kernel's work
// included.
func BenchmarkTurn(b *testing.B) {
	k, packets, descs := turnInputs()
	b.ReportAllocs()
	for b.Loop() {
		turn(k, k.Socket(), packets, descs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/packet")
}

// BenchmarkAllocateRelease is the free list and the ledger alone.
func BenchmarkAllocateRelease(b *testing.B) {
	s := xsktest.New(4096, 2048, 1024).Socket()
	descs := make([]xsk.Desc, batch)
	b.ReportAllocs()
	for b.Loop() {
		s.Release(descs[:s.Allocate(descs)])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/packet")
}

// BenchmarkIdle is a turn of a spinning worker without traffic.
func BenchmarkIdle(b *testing.B) {
	s := xsktest.New(4096, 2048, 1024).Socket()
	descs := make([]xsk.Desc, batch)
	for b.Loop() {
		if s.Receive(descs) != 0 {
			b.Fatal("received something")
		}
		s.Flush()
		s.Recycle()
	}
}

package engine

import "github.com/afxlb/afxlb/internal/packet"

// turnAway ends a batch of a port that takes nothing now, as its bond takes nothing by it: a
// switch that floods sends each frame to all slaves, and one copy is enough. The kernel's
// bonding does the same (bond_should_deliver_exact_match in drivers/net/bonding/bond_main.c).
// When the bond turns to this slave, a table that says so is some milliseconds away, and
// what comes meanwhile must not be the kernel's to reset.
//
//go:noinline
func (w *worker) turnAway(n int) error {
	w.mixed = true
	umem := w.socket.UMEM()
	for i := range n {
		w.frames[i] = umem.Frame(w.descs[i])
		w.count.ReceivedBytes += uint64(len(w.frames[i]))
		w.verdicts[i] = packet.DropStandby
	}
	err := w.send(n)
	w.flows.Grace.Quiescent(w.id)
	return err
}

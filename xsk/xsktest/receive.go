package xsktest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// Deliver receives one packet. It returns false if the packet was dropped: the link is
// down, the packet too long, the RX ring full, or the FILL ring empty.
func (k *Kernel) Deliver(packet []byte) bool {
	ok := k.deliver(packet)
	k.Publish()
	return ok
}

// DeliverAll receives a batch of packets, which the socket then sees at once, up to
// the first that is dropped. It returns how many were received.
func (k *Kernel) DeliverAll(packets [][]byte) int {
	n := 0
	for n < len(packets) && k.deliver(packets[n]) {
		n++
	}
	k.Publish()
	return n
}

func (k *Kernel) deliver(packet []byte) bool {
	if k.multi && len(packet) > int(k.maxPacket) {
		return k.deliverLong(packet)
	}
	b := k.Buffer()
	if len(packet) > len(b) {
		if b != nil {
			k.stats.rxDropped.Add(1)
		}
		return false
	}
	copy(b, packet)
	k.Push(len(packet))
	return true
}

// deliverLong receives a packet that is longer than a frame, whole or not at all (__xsk_rcv of
// net/xdp/xsk.c).
func (k *Kernel) deliverLong(packet []byte) bool {
	need := (uint32(len(packet))-1)/k.maxPacket + 1
	if size := uint32(len(k.rings.RX.Entries)); size-(k.rxProd-k.rings.RX.Consumer.Load()) < need {
		k.stats.rxRingFull.Add(1)
		return false
	}
	have := k.rings.Fill.Producer.Load() - k.fillCons
	if k.haveNext {
		have++
	}
	if have < need {
		k.stats.fillEmpty.Add(1)
		k.stats.rxDropped.Add(1)
		return false
	}
	for {
		b := k.Buffer()
		if b == nil {
			return false // the link is down
		}
		n := copy(b, packet)
		if packet = packet[n:]; len(packet) == 0 {
			k.Push(n)
			return true
		}
		k.PushPiece(n)
	}
}

// Buffer returns the room in which the next packet will be received, nil if there is
// none; see Deliver. It is for those who write packets in place: write, Push, and
// Publish once a batch. It holds what was last in that frame.
func (k *Kernel) Buffer() []byte {
	if k.down.Load() || k.gone.Load() {
		return nil
	}
	size := uint32(len(k.rings.RX.Entries))
	if k.rxProd-k.rings.RX.Consumer.Load() == size {
		k.stats.rxRingFull.Add(1)
		return nil
	}
	if !k.haveNext && !k.takeFrame() {
		k.stats.rxDropped.Add(1)
		return nil
	}
	return k.socket.UMEM().Frame(xsk.Desc{Addr: k.next + k.headroom, Len: k.maxPacket})
}

// takeFrame takes a frame off the FILL ring.
func (k *Kernel) takeFrame() bool {
	ring := k.rings.Fill
	if ring.Producer.Load() == k.fillCons {
		k.stats.fillEmpty.Add(1)
		return false
	}
	addr := ring.Entries[k.fillCons&uint32(len(ring.Entries)-1)]
	k.fillCons++
	size := uint64(k.socket.UMEM().FrameSize())
	i := (addr + k.headroom) / size
	if i >= uint64(len(k.owners)) || k.owners[i] != theirs {
		k.breach(fmt.Errorf("FILL ring: address %#x is no frame, or one that the kernel has", addr))
		return false
	}
	k.owners[i] = receiving
	k.next, k.haveNext = addr, true
	return true
}

// Push receives the packet that was written into the first length bytes of Buffer. The
// socket sees it after Publish.
func (k *Kernel) Push(length int) {
	if !k.haveNext {
		panic("xsktest: Push without Buffer")
	}
	ring := k.rings.RX
	k.owners[(k.next+k.headroom)/uint64(k.socket.UMEM().FrameSize())] = theirs
	ring.Entries[k.rxProd&uint32(len(ring.Entries)-1)] = xsk.Desc{Addr: k.next + k.place, Len: uint32(length)}
	k.rxProd++
	k.haveNext = false
}

// PushPiece is Push for a piece of a packet that goes on in the next one that is pushed,
// as from a driver whose packet takes several frames.
func (k *Kernel) PushPiece(length int) {
	k.Push(length)
	ring := k.rings.RX
	ring.Entries[(k.rxProd-1)&uint32(len(ring.Entries)-1)].Options = unix.XDP_PKT_CONTD
}

// Publish lets the socket see what was pushed, and wakes it.
func (k *Kernel) Publish() {
	if k.rings.RX.Producer.Load() == k.rxProd {
		return
	}
	k.rings.Fill.Consumer.Store(k.fillCons)
	k.rings.RX.Producer.Store(k.rxProd)
	k.wake()
}

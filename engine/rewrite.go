package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// natRequest sends a client's packet to its backend: destination MAC, address
// and port, and one hop less to live, since the balancer is a router here.
func (w *worker) natRequest(frame []byte, p *packet.Packet, f *conntrack.Flow, b *balancer.Backend) packet.Verdict {
	if b.Flags&balancer.HasMAC == 0 {
		return packet.DropNoNeighbour
	}
	if !packet.DecrementTTL(frame, p) {
		return packet.DropTTL
	}
	f.LearnClientMAC(packet.SourceMAC(frame))
	packet.RewriteDst(frame, p, &f.Backend, f.BackendPort)
	packet.SetMACs(frame, b.MAC, w.table.SourceMAC)
	return packet.Forwarded
}

// natReply sends a backend's packet back to where the client's packets come
// from, with the service's address and port as its source.
func (w *worker) natReply(frame []byte, p *packet.Packet, f *conntrack.Flow) packet.Verdict {
	if !packet.DecrementTTL(frame, p) {
		return packet.DropTTL
	}
	packet.RewriteSrc(frame, p, &f.VIP, f.VIPPort)
	packet.SetMACs(frame, f.ClientMAC(), w.table.SourceMAC)
	return packet.Forwarded
}

// direct hands a client's packet over on the link, as it is: the backend holds
// the service's address itself and answers the client without the balancer.
func (w *worker) direct(frame []byte, b *balancer.Backend) packet.Verdict {
	if b.Flags&balancer.HasMAC == 0 {
		return packet.DropNoNeighbour
	}
	packet.SetMACs(frame, b.MAC, w.table.SourceMAC)
	return packet.Forwarded
}

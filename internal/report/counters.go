package report

import (
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Counters returns every counter with its meaning: what the workers did with
// each packet, what the steering program did before them, and what the kernel
// could not hand over.
func (s *Source) Counters() []api.Counter {
	in := s.Engine.Info()
	return counters(&in)
}

func counters(in *engine.Info) []api.Counter {
	var list []api.Counter
	add := func(group, name string, value uint64, help string) {
		list = append(list, api.Counter{Group: group, Name: name, Value: value, Help: help, Loss: isLoss(group, name)})
	}
	add("packets", "received", in.Total.Received, "taken from the RX rings; the sum of the following")
	for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
		add("packets", v.String(), in.Total.Verdicts[v], v.Help())
	}
	add("checksums", "completed", in.Total.Completed, "came with an unfinished checksum, as neighbours on the same machine send them, and had it finished here")
	add("services", "full", in.Total.Full, "connections that could not begin, since every backend that they could have had max-conns connections")
	for r := range bpf.NumReasons {
		sum := uint64(0)
		for i := range in.Ports {
			sum += in.Ports[i].Steering[r]
		}
		add("steering", r.String(), sum, r.Help())
	}

	var copied uint64
	for i := range in.Total.Ports {
		copied += in.Total.Ports[i].Copied
	}
	add("ports", "copied", copied, "sent by another interface than they came by, from a copy, since the two can't share frames")

	var k xsk.Statistics
	for i := range in.Ports {
		port := in.Ports[i].Kernel()
		k.Add(&port)
	}
	add("kernel", "rx-dropped", k.RxDropped, "longer than a frame takes, or no free frame: is GRO or LRO off?")
	add("kernel", "rx-ring-full", k.RxRingFull, "dropped because a worker was slower than its queue")
	add("kernel", "rx-pieces", k.RxPieces, "came in several frames and were refused, as too long: are GRO and LRO off?")
	add("kernel", "fill-ring-empty", k.FillRingEmpty, "times the kernel found no free frame")
	add("kernel", "tx-invalid", k.TxInvalid, "descriptors that the kernel refused; a defect if not 0")
	add("kernel", "tx-dropped", k.TxDropped, "dropped by the interface after the kernel had taken them")
	add("kernel", "tx-again", k.Again, "times the kernel wanted a pause before it took more")

	s := &in.Flows
	add("flows", "inserted", s.Inserted, "flows remembered")
	add("flows", "expired", s.Expired, "flows forgotten because they were idle")
	add("flows", "evicted-established", s.EvictedEstablished, "flows that made way because max-flows was reached")
	add("flows", "evicted-embryonic", s.EvictedEmbryonic, "half-open flows that made way for newer ones")
	add("flows", "clashes", s.Clashes, "flows refused because the backend's replies could not have been told apart")
	add("flows", "forgotten-clients", in.Clients.Evicted, "clients with persistence that were forgotten before their time, to make room")
	return list
}

// isLoss reports whether a counter counts packets that were lost.
func isLoss(group, name string) bool {
	switch group {
	case "packets":
		for v := packet.Verdict(0); v < packet.NumVerdicts; v++ {
			if v.String() == name {
				return v.IsDrop()
			}
		}
	case "steering":
		return name == bpf.DroppedNoSocket.String()
	case "kernel":
		return name == "rx-dropped" || name == "rx-ring-full" || name == "rx-pieces" || name == "tx-invalid" || name == "tx-dropped"
	}
	return false
}

package replay

import (
	"bytes"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// TestPorts: what was captured on one interface leaves by another, and comes back.
func TestPorts(t *testing.T) {
	const text = `
interfaces: [eth0, eth1, eth2]
neighbours:
  10.0.0.11: {mac: 02:00:00:00:00:0b, port: eth1, tags: [5]}
services:
  - {name: web, address: 192.0.2.10, port: 80, health: {type: none}, backends: [{name: a, address: 10.0.0.11}]}
`
	reply := packettest.TCP("10.0.0.11:80", "198.51.100.7:1", packet.TCPSyn|packet.TCPAck)
	reply.DstMAC, reply.SrcMAC, reply.VLANs = packet.MAC{2, 0, 0, 0, 0, 0x21}, packet.MAC{2, 0, 0, 0, 0, 0x0b}, []uint16{5}
	in := []capture.Packet{at(0, syn("1")), at(time.Second, reply), at(2*time.Second, syn("2")), at(3*time.Second, syn("3"))}
	in[1].Interface, in[3].Interface = 2, 0
	in[0].Interface, in[2].Interface = 1, 1
	for name, named := range map[string][]string{"in the order of others": {"eth2", "eth0", "eth1"}, "others besides": {"lo", "eth0", "eth1"}} {
		var file, out bytes.Buffer
		w, err := capture.NewWriter(&file, capture.Format{NG: true}, named...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range in {
			_ = w.Write(&in[i])
		}
		_ = w.Flush()
		o := options(t, text, file.Bytes())
		o.Ports = []string{"eth0", "eth1", "eth2"}
		if o.Out, err = capture.NewWriter(&out, capture.Format{NG: true}, o.Ports...); err != nil {
			t.Fatal(err)
		}
		var sent []Sent
		var from []string
		o.Report = func(r *Record) error {
			from = append(from, r.Interface)
			if r.Verdict != "forwarded" || len(r.Sent) != 1 {
				t.Errorf("%s: %+v", name, r)
				return nil
			}
			sent = append(sent, r.Sent[0])
			return nil
		}
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		balancer, other := packettest.BalancerMAC, packet.MAC{2, 0, 0, 0, 0, 0x21}
		for i, want := range []Sent{
			{Port: "eth1", SourceMAC: packet.MAC{2, 0, 0, 0, 0xff, 1}, DestinationMAC: reply.SrcMAC, VLANs: []uint16{5}}, // its own is not known yet
			{Port: "eth0", SourceMAC: balancer, DestinationMAC: packettest.ClientMAC},
			{Port: "eth1", SourceMAC: other, DestinationMAC: reply.SrcMAC, VLANs: []uint16{5}},
			{Port: "eth1", SourceMAC: other, DestinationMAC: reply.SrcMAC, VLANs: []uint16{5}},
		} {
			if i >= len(sent) {
				t.Fatalf("%s: %d frames were sent", name, len(sent))
			}
			got := sent[i]
			if got.Port != want.Port || got.SourceMAC != want.SourceMAC || got.DestinationMAC != want.DestinationMAC || len(got.VLANs) != len(want.VLANs) {
				t.Errorf("%s: frame %d: %+v, want %+v", name, i+1, got, want)
			}
		}
		frames := packetsOf(t, out.Bytes())
		if len(frames) != 4 || frames[0].Interface != 1 || frames[1].Interface != 0 || from[0] != "eth0" || from[1] != "eth1" {
			t.Errorf("%s: from %q to %+v", name, from, frames)
		}
	}
}

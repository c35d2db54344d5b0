package replay

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// backwards returns a datagram in fragments, the last one first, each a second later.
func backwards(f packettest.Frame) (list []capture.Packet) {
	parts := packettest.Fragments(f.Bytes(), 7, 200)
	slices.Reverse(parts)
	for i, b := range parts {
		list = append(list, capture.Packet{Time: start.Add(time.Duration(i) * time.Second), Data: b, Length: len(b)})
	}
	return list
}

// TestFragments: those that come early are held, and leave when the first one of their
// packet does.
func TestFragments(t *testing.T) {
	f := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("0123456789", 60))
	in := backwards(f)
	out, records, sum := replayed(t, options(t, twoBackends, file(t, in)))
	last := len(records) - 1
	for i, r := range records[:last] {
		if r.Verdict != VerdictHeld || len(r.Sent)+len(r.Released) > 0 || !strings.Contains(string(r.AppendJSON(nil)), `"verdict":"held"`) {
			t.Errorf("packet %d: %+v", i+1, r)
		}
	}
	r := &records[last]
	if r.Verdict != "forwarded" || r.Backend != "a" || len(r.Sent) != 1 || len(r.Released) != last {
		t.Errorf("the first: %+v", r)
	}
	if sum.Held != 0 || sum.Verdicts[packet.Forwarded] != uint64(len(in)) || sum.Sent != len(in) {
		t.Errorf("%+v", sum)
	}
	var parts [][]byte
	for _, p := range packetsOf(t, out) {
		parts = append(parts, p.Data)
	}
	whole, err := packettest.Assemble(parts)
	if err != nil {
		t.Fatal(err)
	}
	got := packettest.Verify(t, whole)
	if got.Dst.String() != "10.0.0.11:53" || !bytes.Equal(got.Payload, f.Payload) {
		t.Errorf("%+v", got)
	}
}

// TestHeldInVain: of a packet without its first fragment nothing leaves, and it shows.
func TestHeldInVain(t *testing.T) {
	in := backwards(packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("0123456789", 60)))
	_, _, sum := replayed(t, options(t, twoBackends, file(t, in[:2])))
	if sum.Held != 2 || sum.Sent != 0 {
		t.Errorf("%+v", sum)
	}
	first := in[len(in)-1]
	first.Time = start.Add(time.Hour)
	if _, records, sum := replayed(t, options(t, twoBackends, file(t, []capture.Packet{in[0], first}))); sum.Sent != 1 || len(records[1].Released) != 0 {
		t.Errorf("the first one an hour later: %+v", records[1])
	}
	late := at(time.Hour, packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", "?"))
	_, records, sum := replayed(t, options(t, twoBackends, file(t, []capture.Packet{in[0], in[1], late, in[len(in)-1]})))
	if sum.Held != 0 || sum.Verdicts[packet.DropOrphan] != 2 || sum.Sent != 2 || len(records[3].Released) != 0 {
		t.Errorf("an hour later: %+v, %+v", sum, records[3])
	}
}

// TestPieces: a packet that is sent in pieces has the end of its first piece, and nothing of it
// is waited for.
func TestPieces(t *testing.T) {
	const text = `
services:
  - {name: dns, address: 192.0.2.10, port: 53, protocol: udp, mode: fullnat, snat-addresses: ["2001:db8::5"], health: {type: none}, backends: [{name: a, address: "2001:db8::11"}]}
`
	f := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("0123456789", 146))
	f.DF = false
	whole, part := at(0, f), at(0, f)
	part.Data = part.Data[:96]
	out, records, sum := replayed(t, options(t, text, file(t, []capture.Packet{whole, part})))
	for i, r := range records {
		if r.Verdict != "forwarded" || r.Backend != "a" || len(r.Sent) != 1 || len(r.Released) != 1 || r.Sent[0].Destination.String() != "[2001:db8::11]:53" {
			t.Errorf("packet %d: %+v", i+1, r)
		}
	}
	if sum.Held != 0 || sum.Verdicts[packet.Forwarded] != 4 || sum.Sent != 4 || sum.Packets != 2 {
		t.Errorf("%+v", sum)
	}
	for i, p := range packetsOf(t, out) {
		if len(p.Data) < p.Length {
			t.Errorf("piece %d is cut to %d bytes of %d", i+1, len(p.Data), p.Length)
		}
	}
}

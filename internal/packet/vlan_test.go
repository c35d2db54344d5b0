package packet_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// What is read of a frame's tags and written again is the frame.
func TestTags(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	for range 2000 {
		f := packettest.Random(r)
		b := f.Bytes()
		p := mustParse(t, b)
		tags := packet.ReadTags(b, &p)
		for i, tag := range tags {
			if want := i < len(f.VLANs); want != (tag != 0) || want && tag.VLAN() != f.VLANs[i] {
				t.Fatalf("tags %x of VLANs %v", tags, f.VLANs)
			}
		}
		if tags.EthernetLen() != int(p.L3) {
			t.Fatalf("the header of VLANs %v is %d bytes long, and %d", f.VLANs, p.L3, tags.EthernetLen())
		}
		out := bytes.Repeat([]byte{0xaa}, int(p.L3))
		packet.PutEthernet(out, f.DstMAC.Word(), f.SrcMAC.Word(), &tags, p.IPv6)
		if !bytes.Equal(out, b[:p.L3]) {
			t.Fatalf("%x became %x", b[:p.L3], out)
		}
	}
}

// The priority is the frame's and not the VLAN's.
func TestTagWithoutPriority(t *testing.T) {
	f := packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn)
	f.VLANs = []uint16{100}
	b := f.Bytes()
	b[14] |= 0xe0
	p := mustParse(t, b)
	if tags := packet.ReadTags(b, &p); tags != (packet.Tags{packet.NewTag(100)}) {
		t.Errorf("tags %x", tags)
	}
}

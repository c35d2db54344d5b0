package packettest_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// What is cut can be put together again, in any order.
func TestFragmentsAndBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 500 {
		f := packettest.Random(r)
		f.Padding = 0
		f.DF = false
		f.Payload = append(f.Payload, make([]byte, r.IntN(4000))...)
		whole := f.Bytes()
		list := packettest.Fragments(whole, r.Uint32(), 8*(1+r.IntN(100)))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		got, err := packettest.Assemble(list)
		if err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("%x became %x: %v", whole, got, err)
		}
		if len(list) > 1 {
			if _, err := packettest.Assemble(list[1:]); err == nil {
				t.Fatal("a packet without one of its fragments is whole")
			}
		}
	}
}

// gopacket reads the fragments alike.
func TestFragmentsByGopacket(t *testing.T) {
	f := packettest.UDP("198.51.100.7:40000", "192.0.2.10:53", "")
	f.ID, f.Payload = 77, make([]byte, 3000)
	whole := f.Bytes()
	var out *layers.IPv4
	defrag := ip4defrag.NewIPv4Defragmenter()
	for _, b := range packettest.Fragments(whole, 0, 1480) {
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		got, err := defrag.DefragIPv4(p.Layer(layers.LayerTypeIPv4).(*layers.IPv4))
		if err != nil {
			t.Fatal(err)
		}
		out = got
	}
	if out == nil || !bytes.Equal(out.Payload, whole[34:]) {
		t.Errorf("gopacket has %+v", out)
	}
	six := packettest.UDP("[2001:db8:100::7]:40000", "[2001:db8:2::10]:53", "")
	six.Payload = make([]byte, 3000)
	for i, b := range packettest.Fragments(six.Bytes(), 77, 1440) {
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		h, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
		if !ok || int(h.FragmentOffset)*8 != i*1440 || h.MoreFragments != (i < 2) || h.Identification != 77 || h.NextHeader != layers.IPProtocolUDP {
			t.Errorf("fragment %d: %+v", i, h)
		}
	}
}

package lab

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Behind a trunk frames have its tag: others don't come through.
func TestTrunk(t *testing.T) {
	const vlan = 5
	l := newLab(t, Options{})
	behind, other := l.Clients[0], l.Backends[0]
	if err := l.Trunk(l.Port(behind), vlan); err != nil {
		t.Fatal(err)
	}
	src, dst := netip.AddrPortFrom(ClientAddr(0), 1000), netip.AddrPortFrom(BackendAddr(0), 2000)
	frame := func(from, to *Host, payload string, vlans ...uint16) []byte {
		f := packettest.UDP(src.String(), dst.String(), payload)
		f.SrcMAC, f.DstMAC, f.VLANs = packet.MAC(hardwareAddr(t, from)), packet.MAC(hardwareAddr(t, to)), vlans
		return f.Bytes()
	}
	at, by := newTap(t, other), newInjector(t, behind)
	for payload, vlans := range map[string][]uint16{"none": nil, "other": {6}, "its own": {vlan}} {
		if err := by.Inject(frame(behind, other, payload, vlans...)); err != nil {
			t.Fatal(err)
		}
	}
	var got [][]byte
	for _, f := range at.received(t) {
		if d, err := packettest.Decode(f); err == nil && d.Proto == packet.ProtoUDP {
			got = append(got, d.Payload)
		}
	}
	if len(got) != 1 || string(got[0]) != "its own" {
		t.Errorf("received %q, want that of VLAN %d", got, vlan)
	}

	at = newTap(t, behind)
	if err := unix.SetsockoptInt(at.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		t.Fatal(err)
	}
	if err := newInjector(t, other).Inject(frame(other, behind, "back")); err != nil {
		t.Fatal(err)
	}
	buf, aux := make([]byte, 2048), make([]byte, 128)
	for {
		n, m, _, _, err := unix.Recvmsg(at.fd, buf, aux, unix.MSG_DONTWAIT)
		if err != nil {
			t.Fatalf("nothing comes back: %v", err)
		}
		if !bytes.HasSuffix(buf[:n], []byte("back")) {
			continue
		}
		list, err := unix.ParseSocketControlMessage(aux[:m])
		if err != nil || len(list) != 1 {
			t.Fatalf("%d notes, %v", len(list), err)
		}
		// tp_vlan_tci and tp_vlan_tpid of struct tpacket_auxdata (include/uapi/linux/if_packet.h).
		tci, tpid := binary.NativeEndian.Uint16(list[0].Data[16:]), binary.NativeEndian.Uint16(list[0].Data[18:])
		if tci != vlan || tpid != unix.ETH_P_8021Q {
			t.Errorf("what comes back has the tag %#x of protocol %#x", tci, tpid)
		}
		return
	}
}

func TestTrunkOfNothing(t *testing.T) {
	if err := newLab(t, Options{}).Trunk("nosuch0", 5); err == nil {
		t.Error("a trunk without an interface")
	}
}

package lab

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
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
	if err := l.Trunk(l.Port(behind), vlan, 7); err != nil {
		t.Fatal(err)
	}
	src, dst := netip.AddrPortFrom(ClientAddr(0), 1000), netip.AddrPortFrom(BackendAddr(0), 2000)
	frame := func(from, to *Host, payload string, vlans ...uint16) []byte {
		f := packettest.UDP(src.String(), dst.String(), payload)
		f.SrcMAC, f.DstMAC, f.VLANs = packet.MAC(hardwareAddr(t, from)), packet.MAC(hardwareAddr(t, to)), vlans
		return f.Bytes()
	}
	at, by := newTap(t, other), newInjector(t, behind)
	for payload, vlans := range map[string][]uint16{"none": nil, "other": {6}, "its own": {vlan}, "a further one": {7}} {
		if err := by.Inject(frame(behind, other, payload, vlans...)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, f := range at.received(t) {
		if d, err := packettest.Decode(f); err == nil && d.Proto == packet.ProtoUDP {
			got = append(got, string(d.Payload))
		}
	}
	if slices.Sort(got); !slices.Equal(got, []string{"a further one", "its own"}) {
		t.Errorf("received %q, want those of VLANs %d and 7", got, vlan)
	}

	for _, want := range []uint16{vlan, 7} {
		if want != vlan {
			if err := l.SetVLAN(other, want); err != nil {
				t.Fatal(err)
			}
		}
		if got := tagBehind(t, behind, newInjector(t, other), frame(other, behind, "back")); got != want {
			t.Errorf("what comes back is in VLAN %d, want %d", got, want)
		}
	}
}

// tagBehind has a frame, whose payload is "back", sent and returns the VLAN that it is in where
// it arrives.
func tagBehind(t *testing.T, behind *Host, by *Injector, frame []byte) uint16 {
	t.Helper()
	at := newTap(t, behind)
	if err := unix.SetsockoptInt(at.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		t.Fatal(err)
	}
	if err := by.Inject(frame); err != nil {
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
		if tpid != unix.ETH_P_8021Q {
			t.Errorf("it has a tag of protocol %#x", tpid)
		}
		return tci
	}
}

func TestTrunkOfNothing(t *testing.T) {
	if err := newLab(t, Options{}).Trunk("nosuch0", 5); err == nil {
		t.Error("a trunk without an interface")
	}
}

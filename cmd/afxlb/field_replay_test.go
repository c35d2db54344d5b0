package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// packetsOf returns those of a capture file.
func packetsOf(t *testing.T, path string) (list []capture.Packet) {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
}

// What replay says is what a running balancer does: the same frames, by a real cable, are
// sent on as the same bytes in the same order.
func TestFieldReplay(t *testing.T) {
	for _, mode := range []string{"nat", "dsr", "fullnat", "families", "ipip", "gue", "gre"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.empty()
			up, err := w.lab.Uplink(queues)
			if err != nil {
				t.Fatal(err)
			}
			tap, err := w.lab.Wiretap()
			if err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(w.dir, "afxlb.yaml")
			if err := os.WriteFile(config, readFile(t, replayData+mode+".yaml"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := w.serve(config)
			in, out := packetsOf(t, replayData+mode+".pcap"), packetsOf(t, replayData+mode+".out.pcap")
			at := 0
			for i := range in {
				if err := up.Send(0, in[i].Data); err != nil {
					t.Fatal(err)
				}
				if i+1 < len(in) && in[i+1].Time.Equal(in[i].Time) {
					continue // which of both it is that brings a frame about is not told
				}
				for ; at < len(out) && !out[at].Time.After(in[i].Time); at++ { // so that no queue gets long
					got := nextOf(t, tap)
					if want := out[at].Data; !bytes.Equal(unseeded(got), unseeded(want)) {
						t.Fatalf("frame %d, for packet %d:\n got %x\nwant %x\n for %x", at+1, i+1, got, want, in[i].Data)
					}
				}
			}
			p.stop()
		})
	}
}

// empty makes a world of it in which nobody else is: the balancer has the MAC address of captures,
// and no address of its own.
func (w *world) empty() {
	w.t.Helper()
	for _, h := range append(slices.Concat(w.lab.Clients, w.lab.Backends), w.lab.Balancer) {
		link, err := h.Netlink().LinkByName(lab.Interface)
		if err != nil {
			w.t.Fatal(err)
		}
		if h != w.lab.Balancer {
			if err := h.Netlink().LinkSetDown(link); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		own, err := h.Netlink().AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range own {
			if err := h.Netlink().AddrDel(link, &own[i]); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := h.Netlink().LinkSetHardwareAddr(link, packettest.BalancerMAC[:]); err != nil {
			w.t.Fatal(err)
		}
	}
}

// nextOf returns the next frame that is none of the balancer's kernel: what that sends for
// reasons of its own is ARP, neighbour discovery and multicast.
func nextOf(t *testing.T, tap *lab.Wiretap) []byte {
	t.Helper()
	for {
		f, err := tap.Next(patience)
		if err != nil {
			t.Fatal(err)
		}
		var p packet.Packet
		if v := packet.Parse(f, &p); v != packet.DropNotIP && v != packet.DropICMP && v != packet.DropMartian || v == packet.DropICMP && isEchoReply(f, &p) {
			return f
		}
	}
}

func isEchoReply(f []byte, p *packet.Packet) bool { return f[p.L4] == 0 || f[p.L4] == 129 }

// unseeded is a frame without what differs by a process's seed in the outer header of a
// tunnel: identification and checksum, or flow label, and UDP's source port.
func unseeded(f []byte) []byte {
	f = bytes.Clone(f)
	at := 12
	for t := binary.BigEndian.Uint16(f[at:]); t == 0x8100 || t == 0x88a8; t = binary.BigEndian.Uint16(f[at:]) {
		at += 4
	}
	ip, proto, n := f[at+2:], byte(0), 20
	if ip[0]>>4 == 6 {
		proto, n = ip[6], 40
	} else {
		proto = ip[9]
	}
	tunnel := proto == 4 || proto == 41 || proto == 47 || proto == packet.ProtoUDP && binary.BigEndian.Uint16(ip[n+2:]) == 6080
	switch {
	case !tunnel:
		return f
	case n == 40:
		binary.BigEndian.PutUint32(ip, binary.BigEndian.Uint32(ip)&^0xfffff)
	default:
		clear(ip[4:6])
		clear(ip[10:12])
	}
	if proto == packet.ProtoUDP {
		clear(ip[n : n+2])
	}
	return f
}

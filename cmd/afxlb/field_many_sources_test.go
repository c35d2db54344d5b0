package main

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

// asked is a UDP server that echoes, and notes who asks it from where: each of the numbers
// that it is asked with is a flow.
type asked struct {
	mu    sync.Mutex
	by    map[netip.AddrPort]uint32
	twice int // times that one end was another's too
}

func (a *asked) note(from netip.AddrPort, flow uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, ok := a.by[from]; ok && was != flow {
		a.twice++
	}
	a.by[from] = flow
}

// serve answers on a backend until the test ends.
func (a *asked) serve(w *world, h *lab.Host, at netip.AddrPort) {
	w.t.Helper()
	c, err := h.ListenPacket("udp", at.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	conn := c.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, hearBuffer) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if n == 4 {
				a.note(from, binary.BigEndian.Uint32(b))
				_, _ = conn.WriteToUDPAddrPort(b[:n], from)
			}
		}
	}()
}

// mob is clients that nobody has seen: one host sends for all of them, and hears all that is
// sent to it.
type mob struct {
	w        *world
	by       *lab.Injector
	ear      int      // a packet socket
	frames   [][]byte // one for each client's address, to the service
	perAddr  int
	answered []bool // by flow
	missing  int
}

// hearBuffer is what sockets have room for: all that is sent at a time.
const hearBuffer = 16 << 20

// Offsets in the frame of a datagram of IPv4.
const atPorts, atNumber = 14 + 20, 14 + 20 + 8

func (w *world) newMob(vip netip.AddrPort, addrs, perAddr int) *mob {
	w.t.Helper()
	cable := w.openCable(w.lab.Clients[0])
	m := &mob{w: w, by: cable.by, perAddr: perAddr, answered: make([]bool, addrs*perAddr), missing: addrs * perAddr}
	for i := range addrs {
		from := netip.AddrFrom4([4]byte{198, 51, 100, byte(230 + i)})
		f := packettest.UDP(netip.AddrPortFrom(from, 1).String(), vip.String(), "1234")
		f.SrcMAC, f.DstMAC, f.NoChecksum = [6]byte(cable.by.MAC), cable.to, true
		m.frames = append(m.frames, f.Bytes())
	}
	err := w.lab.Clients[0].Do(func() (err error) {
		const ip = unix.ETH_P_IP<<8&0xff00 | unix.ETH_P_IP>>8
		if m.ear, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, ip); err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(m.ear, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, hearBuffer),
			unix.SetsockoptTimeval(m.ear, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { unix.Close(m.ear) })
	return m
}

// ask sends a flow's question.
func (m *mob) ask(flow int) {
	b := m.frames[flow/m.perAddr]
	binary.BigEndian.PutUint16(b[atPorts:], uint16(10000+flow%m.perAddr))
	binary.BigEndian.PutUint32(b[atNumber:], uint32(flow))
	if err := m.by.Inject(b); err != nil {
		m.w.t.Fatal(err)
	}
}

// hear takes what is there, or comes soon, and stops when none of the flows from first to
// end is missing.
func (m *mob) hear(vip netip.AddrPort, first, end int) {
	b := make([]byte, 200)
	left := 0
	for _, done := range m.answered[first:end] {
		if !done {
			left++
		}
	}
	for left > 0 {
		n, _, err := unix.Recvfrom(m.ear, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // nothing more
		}
		if n < atNumber+4 || b[23] != unix.IPPROTO_UDP || netip.AddrFrom4([4]byte(b[26:30])) != vip.Addr() {
			continue
		}
		flow := int(binary.BigEndian.Uint32(b[atNumber:]))
		if want := uint16(10000 + flow%m.perAddr); flow >= len(m.answered) || binary.BigEndian.Uint16(b[atPorts+2:]) != want || b[33] != byte(230+flow/m.perAddr) {
			m.w.t.Fatalf("the answer to flow %d went to %v:%d", flow, b[30:34], binary.BigEndian.Uint16(b[atPorts+2:]))
		}
		if !m.answered[flow] {
			m.answered[flow] = true
			m.missing--
			if flow >= first && flow < end {
				left--
			}
		}
	}
}

// 200,000 flows at a time by four addresses to one backend: none shares its end with another,
// each is answered, and each answer goes to who has asked.
func TestFieldManySources(t *testing.T) {
	flows := 200_000
	if testutil.Race {
		flows = 20_000
	}
	w := newWorld(t)
	var sources []netip.Addr
	for i := range byte(4) {
		sources = append(sources, netip.AddrFrom4([4]byte{10, 0, 0, 200 + i}))
	}
	w.addSources(sources...)
	vip := netip.AddrPortFrom(fullVIP4, port)
	server := &asked{by: map[netip.AddrPort]uint32{}}
	server.serve(w, w.lab.Backends[0], netip.AddrPortFrom(lab.BackendAddr(0), port))
	p := w.serve(w.writeConfig("afxlb.yaml", entry("many", fullVIP4, port, "protocol: udp, "+snatKeys(sources...)+"health: {type: none},", backendsOf(fullVIP4)[0])))
	m := w.newMob(vip, 4, flows/4)
	const together = 500 // what any queue on the way takes
	for first := 0; first < flows; first += together {
		for try, end := 0, first+together; ; try++ {
			for flow := first; flow < end; flow++ {
				if !m.answered[flow] {
					m.ask(flow)
				}
			}
			before := m.missing
			if m.hear(vip, first, end); m.missing == flows-end {
				break
			}
			if try > 10 && m.missing == before {
				t.Fatalf("%d flows of the first %d are not answered: %v", m.missing-(flows-end), end, p.status().Drops)
			}
		}
	}
	server.mu.Lock()
	ends, twice := len(server.by), server.twice
	server.mu.Unlock()
	if ends != flows || twice != 0 {
		t.Errorf("the backend saw %d ends for %d flows, %d of them of two flows", ends, flows, twice)
	}
	s := p.await("have all flows", func(s api.Status) bool { return s.Flows.Flows >= flows })
	if len(s.SnatPorts) != 1 || s.SnatPorts[0].Taken != flows || s.SnatPorts[0].Resting != 0 {
		t.Errorf("snat ports %+v", s.SnatPorts)
	}
	if n := p.counter("packets", "snat-exhausted"); n != 0 {
		t.Errorf("%d packets found no port", n)
	}
	for flow := 0; flow < flows; flow += flows / 100 { // they live, also the first ones
		m.answered[flow] = false
		m.missing++
		for try := 0; !m.answered[flow]; try++ {
			if try > 10 {
				t.Fatalf("flow %d is not answered any more", flow)
			}
			m.ask(flow)
			m.hear(vip, flow, flow+1)
		}
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.by) != flows || server.twice != 0 {
		t.Errorf("the backend saw %d ends for %d flows, %d times one of two flows", len(server.by), flows, server.twice)
	}
	p.checkSums()
	p.stop()
}

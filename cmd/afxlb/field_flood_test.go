package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
)

// flood is SYNs from sources that do not exist, to services in turns.
type flood struct {
	by     *lab.Injector
	frames []*[54]byte // one for each service
}

// floodNet is where they seem to come from: 23 bits, each of which stands for one source.
var floodNet = netip.MustParsePrefix("20.0.0.0/9")

// newFlood returns one whose SYNs come from client 0, as by a router.
func (w *world) newFlood(vips ...netip.Addr) *flood { return w.newFloodTo(streamPort, vips...) }

// newFloodTo returns one to services at another port.
func (w *world) newFloodTo(port uint16, vips ...netip.Addr) *flood {
	w.t.Helper()
	by, err := w.lab.Feed()
	if err != nil {
		w.t.Fatal(err)
	}
	f := &flood{by: by}
	for _, vip := range vips {
		s := packettest.TCP("20.0.0.1:1", netip.AddrPortFrom(vip, port).String(), packet.TCPSyn)
		s.SrcMAC, s.DstMAC = packet.MAC(w.interfaceOf(w.lab.Clients[0]).HardwareAddr), packet.MAC(w.interfaceOf(w.lab.Balancer).HardwareAddr)
		f.frames = append(f.frames, (*[54]byte)(s.Bytes()))
	}
	return f
}

// send sends the SYN of source n, which is below 2^23.
func (f *flood) send(n uint32) error {
	b := f.frames[int(n)%len(f.frames)]
	mixed := n * 0x9e3779b1 // odd: no two sources become one, in these bits or in those
	set := func(at, sum int, v uint16) {
		old := binary.BigEndian.Uint16(b[at:])
		for _, s := range []int{sum, 50} { // the transport's checksum is over the addresses, too
			if s != 0 {
				binary.BigEndian.PutUint16(b[s:], replaced(binary.BigEndian.Uint16(b[s:]), old, v))
			}
		}
		binary.BigEndian.PutUint16(b[at:], v)
	}
	set(26, 24, 20<<8|uint16(mixed>>16&0x7f))
	set(28, 24, uint16(mixed))
	set(34, 0, 1024+uint16(mixed>>17))
	set(38, 0, uint16(mixed>>9))
	return f.by.Inject(b[:])
}

// replaced is a checksum once a word that it is over is another one (RFC 1624).
func replaced(sum, old, now uint16) uint16 {
	n := uint32(^sum) + uint32(^old) + uint32(now)
	n = n&0xffff + n>>16
	return ^uint16(n&0xffff + n>>16)
}

// transfer is a connection by which bytes go to a server and come back, a block at a time.
type transfer struct {
	net.Conn
	service, server string
}

// exchange sends a block of its own, and reads it back.
func (c *transfer) exchange(round int) error {
	out := bytes.Repeat([]byte(fmt.Sprint(c.LocalAddr(), " ", round, "\n")), 100)
	in := make([]byte, len(out))
	if _, err := c.Write(out); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, in); err != nil {
		return err
	}
	if !bytes.Equal(in, out) {
		return errors.New("other bytes came back")
	}
	return nil
}

// A flood of SYNs from millions of sources, while connections transfer bytes: none of these is
// reset, moved or forgotten, by whatever mode. The flood pushes out its own, and all of it is
// counted.
func TestFieldSYNFlood(t *testing.T) {
	sources, each := 5_000_000, 250
	if testutil.Race {
		sources, each = 200_000, 50
	}
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	w.listenStreams()
	for _, h := range w.lab.Backends {
		if err := h.Route(floodNet, own4, lab.Interface); err != nil {
			t.Fatal(err)
		}
	}
	vips := map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "fullnat4": fullVIP4, "dsr4": dsrVIP4}
	var services []string
	for name, vip := range vips {
		keys := map[string]string{"nat4": "nat", "nat6": "nat", "dsr4": "dsr"}[name]
		if keys = "mode: " + keys + ", "; name == "fullnat4" {
			keys = snatKeys(own4)
		}
		services = append(services, entry(name, vip, streamPort, keys+"health: {type: none},", backendsOf(vip)...))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	var list []*transfer
	for name, vip := range vips {
		for range each {
			c, server, err := w.dialStream(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := c.SetDeadline(time.Now().Add(20 * patience)); err != nil { // far above what it takes
				t.Fatal(err)
			}
			list = append(list, &transfer{Conn: c, service: name, server: server})
		}
	}
	began := time.Now()
	f := w.newFlood(natVIP4, fullVIP4, dsrVIP4)
	const rounds = 10
	var turns [rounds]chan struct{} // closed when the flood is so far
	for i := range turns {
		turns[i] = make(chan struct{})
	}
	var all sync.WaitGroup
	for _, c := range list {
		all.Go(func() {
			for round := range rounds {
				<-turns[round]
				if err := c.exchange(round); err != nil {
					t.Errorf("a transfer by %s, in round %d: %v", c.service, round, err)
					return
				}
			}
		})
	}
	for n := range sources {
		if n%(sources/rounds) == 0 {
			close(turns[n/(sources/rounds)])
		}
		if err := f.send(uint32(n)); err != nil {
			t.Error(err)
		}
	}
	flooded := time.Since(began)
	all.Wait()
	w.mustStay(p, list, time.Since(began))
	p.checkSums()
	s := p.status().Flows
	t.Logf("the flood took %v, with the transfers %v: %+v", flooded, time.Since(began), s)
	if s.EvictedEstablished != 0 || s.Inserted < uint64(sources/100) {
		t.Errorf("%d established flows had to go for %d new ones", s.EvictedEstablished, s.Inserted)
	}
	steered := p.counter("steering", "steered-service") + p.counter("steering", "steered-reply")
	came := p.counter("packets", "received") + p.counter("kernel", "rx-ring-full") + p.counter("kernel", "rx-dropped")
	if steered < uint64(sources) || came != steered {
		t.Errorf("of %d SYNs and all else %d packets were steered here, of %d it is known what became of them", sources, steered, came)
	}
	p.stop()
}

// mustStay holds that each transfer has had one flow for so long at least, to one server.
func (w *world) mustStay(p *process, list []*transfer, since time.Duration) {
	w.t.Helper()
	flows := map[string]api.Flow{}
	for _, service := range []string{"nat4", "nat6", "fullnat4", "dsr4"} {
		for _, client := range []netip.Addr{lab.ClientAddr(0), lab.ClientAddr6(0)} {
			all, err := p.api.Flows(w.t.Context(), api.FlowFilter{Service: service, Client: client.String(), Limit: 2 * len(list)})
			if err != nil {
				w.t.Fatal(err)
			}
			for _, f := range all {
				flows[service+f.Client] = f
			}
		}
	}
	for _, c := range list {
		f := flows[c.service+c.LocalAddr().String()]
		if f.Backend != c.server || f.Age < since {
			w.t.Errorf("the flow of a transfer by %s with %s, for %v: %+v", c.service, c.server, since, f)
		}
	}
}

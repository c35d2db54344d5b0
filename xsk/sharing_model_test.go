package xsk_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// TestSharing runs random steps of several sockets on one UMEM: packets received on one
// leave by another, interfaces go for good and others come. No frame is ever lost or in two
// hands, and each socket sends what it was given, in order.
func TestSharing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newSharers(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"deliver":  m.deliver,
			"receive":  m.receive,
			"transmit": m.transmit,
			"release":  m.release,
			"flush":    func(t *rapid.T) { m.pick(t).flush(t) },
			"recycle":  func(t *rapid.T) { m.pick(t).socket.Recycle() },
			"hold":     func(t *rapid.T) { m.pick(t).kernel.Hold(rapid.Bool().Draw(t, "hold")) },
			"complete": func(t *rapid.T) { m.pick(t).kernel.Complete(rapid.IntRange(1, 8).Draw(t, "n")) },
			"replace":  m.replace,
		})
		m.drain(t)
	})
}

// sharers are sockets on one UMEM, of frames frames.
type sharers struct {
	frames   uint32
	ringSize uint32
	numbers  uint64
	all      []*sharer
	held     []packet
}

type sharer struct {
	kernel *xsktest.Kernel
	socket *xsk.Socket
	onTX   []uint64 // transmitted, not sent yet
}

func newSharers(t *rapid.T) *sharers {
	m := &sharers{
		frames:   2 * rapid.Uint32Range(1, 60).Draw(t, "frames/2"),
		ringSize: 1 << rapid.IntRange(0, 5).Draw(t, "log2 ring size"),
	}
	linux := rapid.SampledFrom([]xsktest.Linux{xsktest.Today, xsktest.ZeroCopy}).Draw(t, "linux")
	first := xsktest.NewAs(linux, m.frames, 2048, m.ringSize)
	m.all = []*sharer{{kernel: first, socket: first.Socket()}}
	for range rapid.IntRange(1, 3).Draw(t, "more") {
		m.add()
	}
	return m
}

func (m *sharers) add() {
	k := m.all[0].kernel.Share(m.ringSize)
	k.Socket().Recycle()
	m.all = append(m.all, &sharer{kernel: k, socket: k.Socket()})
}

func (m *sharers) pick(t *rapid.T) *sharer { return rapid.SampledFrom(m.all).Draw(t, "socket") }

func (m *sharers) deliver(t *rapid.T) {
	m.numbers++
	p := make([]byte, 60)
	binary.BigEndian.PutUint64(p, m.numbers)
	m.pick(t).kernel.Deliver(p)
}

func (m *sharers) receive(t *rapid.T) {
	descs := make([]xsk.Desc, rapid.IntRange(0, 40).Draw(t, "n"))
	s := m.pick(t).socket
	for _, d := range descs[:s.Receive(descs)] {
		if slices.ContainsFunc(m.held, func(p packet) bool { return p.desc.Addr/2048 == d.Addr/2048 }) {
			t.Fatalf("frame %d is held twice", d.Addr/2048)
		}
		m.held = append(m.held, packet{binary.BigEndian.Uint64(s.UMEM().Frame(d)), d})
	}
}

// take removes some held packets.
func (m *sharers) take(t *rapid.T) []packet {
	n := rapid.IntRange(0, len(m.held)).Draw(t, "n")
	taken := slices.Clone(m.held[:n])
	m.held = slices.Clone(m.held[n:])
	return taken
}

func (m *sharers) transmit(t *rapid.T) {
	packets, s := m.take(t), m.pick(t)
	n := s.socket.Transmit(descsOf(packets))
	for _, p := range packets[:n] {
		s.onTX = append(s.onTX, p.number)
	}
	m.held = append(m.held, packets[n:]...)
}

func (m *sharers) release(t *rapid.T) { m.pick(t).socket.Release(descsOf(m.take(t))) }

// replace has an interface go, with all that is on its rings, and another one come.
func (m *sharers) replace(t *rapid.T) {
	i := rapid.IntRange(0, len(m.all)-1).Draw(t, "which")
	gone := m.all[i]
	m.add() // before, for there to be one left that it can share with
	gone.kernel.Remove()
	if err := gone.socket.Close(); err != nil {
		t.Fatal(err)
	}
	gone.check(t)
	m.all = slices.Delete(m.all, i, i+1)
}

func (s *sharer) flush(t *rapid.T) {
	if err := s.socket.Flush(); err != nil {
		t.Fatal(err)
	}
	s.kernel.Transmit() // of a zero-copy driver
	for _, p := range s.kernel.Sent() {
		if number := binary.BigEndian.Uint64(p); len(s.onTX) == 0 || s.onTX[0] != number {
			t.Fatalf("packet %d sent, but on the ring there were %v", number, s.onTX)
		}
		s.onTX = s.onTX[1:]
	}
}

func (s *sharer) check(t *rapid.T) {
	if err := s.kernel.Err(); err != nil {
		t.Fatal(err)
	}
}

// check holds after every step.
func (m *sharers) check(t *rapid.T) {
	onTX := 0
	for _, s := range m.all {
		s.check(t)
		onTX += len(s.onTX)
		if st, err := s.socket.Statistics(); err != nil || st.Refused != 0 || st.Strays != 0 {
			t.Fatalf("statistics %+v, %v", st, err)
		}
	}
	a := m.all[0].socket.Account()
	if a.Total() != m.frames || a.Held != uint32(len(m.held)) || a.Transmit < uint32(onTX) {
		t.Fatalf("%+v of %d frames: %d held, %d on TX rings", a, m.frames, len(m.held), onTX)
	}
	if other := m.all[len(m.all)-1].socket.Account(); other != a {
		t.Fatalf("two accounts of one UMEM: %+v, %+v", a, other)
	}
}

// drain sends and gives back what there is. Then all frames are free or filled.
func (m *sharers) drain(t *rapid.T) {
	for _, s := range m.all {
		s.kernel.Hold(false)
		for range 2*m.ringSize + 2 {
			s.flush(t)
			s.socket.Recycle()
		}
		if len(s.onTX) != 0 {
			t.Fatalf("%v never sent", s.onTX)
		}
		s.socket.Release(descsOf(m.held))
		m.held = nil
	}
	m.check(t)
	if a := m.all[0].socket.Account(); a.Free+a.Filled != m.frames {
		t.Fatalf("drained, but %+v", a)
	}
}

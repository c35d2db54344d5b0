package xsk_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// TestModel runs random steps of the socket's owner and of the kernel, and compares
// with a model that is slow and obvious: queues of numbered packets.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, rapid.SampledFrom(append(xsktest.CopyModes, xsktest.ZeroCopy)).Draw(t, "linux"))
		t.Repeat(map[string]func(*rapid.T){
			"":            m.check,
			"deliver":     m.deliver,
			"receive":     m.receive,
			"allocate":    m.allocate,
			"transmit":    m.transmit,
			"transmitBad": m.transmitBad,
			"release":     m.release,
			"releaseBad":  m.releaseBad,
			"flush":       m.flush,
			"recycle":     func(*rapid.T) { m.socket.Recycle() },
			"complete":    func(t *rapid.T) { m.kernel.Complete(rapid.IntRange(1, 8).Draw(t, "n")) },
			"trouble":     m.trouble,
		})
		m.drain(t)
	})
}

type packet struct {
	number uint64
	desc   xsk.Desc
}

type model struct {
	linux    xsktest.Linux
	kernel   *xsktest.Kernel
	socket   *xsk.Socket
	frames   uint32
	ringSize uint32
	down     bool
	numbers  uint64

	onRX    []uint64 // delivered, not received yet
	held    []packet
	onTX    []uint64 // transmitted, not taken by the kernel yet
	taken   uint32   // by the kernel, as of the last look
	dropped int      // of the front of onTX, how many the interface will drop
	refused uint64
}

func newModel(t *rapid.T, linux xsktest.Linux) *model {
	m := &model{
		linux:    linux,
		frames:   2 * rapid.Uint32Range(1, 40).Draw(t, "frames/2"),
		ringSize: 1 << rapid.IntRange(0, 5).Draw(t, "log2 ring size"),
	}
	m.kernel = xsktest.NewAs(linux, m.frames, 2048, m.ringSize)
	m.socket = m.kernel.Socket()
	return m
}

func (m *model) deliver(t *rapid.T) {
	m.numbers++
	length := rapid.IntRange(9, m.socket.Info().MaxPacket).Draw(t, "length")
	p := make([]byte, length)
	binary.BigEndian.PutUint64(p, m.numbers)
	p[length-1] = byte(length)
	ok := m.kernel.Deliver(p)
	if ok {
		m.onRX = append(m.onRX, m.numbers)
	}
	if ok && m.down {
		t.Fatal("received on a link that is down")
	}
}

func (m *model) receive(t *rapid.T) {
	descs := make([]xsk.Desc, rapid.IntRange(0, 40).Draw(t, "n"))
	n := m.socket.Receive(descs)
	if want := min(len(descs), len(m.onRX)); n != want {
		t.Fatalf("received %d packets, want %d", n, want)
	}
	for i, d := range descs[:n] {
		f := m.socket.UMEM().Frame(d)
		if got := binary.BigEndian.Uint64(f); got != m.onRX[i] {
			t.Fatalf("packet %d: number %d, want %d", i, got, m.onRX[i])
		}
		if len(f) > 8 && f[len(f)-1] != byte(len(f)) {
			t.Fatalf("packet %d changed at its end", i)
		}
		m.hold(t, m.onRX[i], d)
	}
	m.onRX = m.onRX[n:]
}

func (m *model) hold(t *rapid.T, number uint64, d xsk.Desc) {
	frame := d.Addr / 2048
	if slices.ContainsFunc(m.held, func(p packet) bool { return p.desc.Addr/2048 == frame }) {
		t.Fatalf("frame %d is held twice", frame)
	}
	m.held = append(m.held, packet{number, d})
}

func (m *model) allocate(t *rapid.T) {
	descs := make([]xsk.Desc, rapid.IntRange(0, 4).Draw(t, "n"))
	free := int(m.socket.Account().Free)
	n := m.socket.Allocate(descs)
	if want := min(len(descs), free); n != want {
		t.Fatalf("allocated %d frames of %d, want %d", n, free, want)
	}
	for _, d := range descs[:n] {
		m.numbers++
		binary.BigEndian.PutUint64(m.socket.UMEM().Frame(d), m.numbers)
		m.hold(t, m.numbers, d)
	}
}

// take removes some held packets, in random order.
func (m *model) take(t *rapid.T) []packet {
	if len(m.held) == 0 {
		return nil
	}
	m.held = rapid.Permutation(m.held).Draw(t, "order")
	n := rapid.IntRange(0, len(m.held)).Draw(t, "n")
	taken := slices.Clone(m.held[:n])
	m.held = slices.Clone(m.held[n:])
	return taken
}

func descsOf(packets []packet) []xsk.Desc {
	var descs []xsk.Desc
	for _, p := range packets {
		descs = append(descs, p.desc)
	}
	return descs
}

func (m *model) transmit(t *rapid.T) {
	packets := m.take(t)
	room := int(m.ringSize - m.socket.Pending())
	n := m.socket.Transmit(descsOf(packets))
	if want := min(len(packets), room); n != want {
		t.Fatalf("transmitted %d of %d packets into room for %d", n, len(packets), room)
	}
	for _, p := range packets[:n] {
		m.onTX = append(m.onTX, p.number)
	}
	m.held = append(m.held, packets[n:]...)
}

// transmitBad transmits one descriptor that is not valid. A held frame must come back
// to the free list.
func (m *model) transmitBad(t *rapid.T) {
	if m.socket.Pending() == m.ringSize {
		return
	}
	bad := []xsk.Desc{
		{Addr: uint64(m.frames) * 2048, Len: 60},
		{Addr: 1 << 62, Len: 60},
		{Addr: ^uint64(0), Len: 1},
	}
	if len(m.held) > 0 {
		d := m.held[0].desc
		m.held = slices.Clone(m.held[1:])
		base := d.Addr / 2048 * 2048
		bad = []xsk.Desc{
			{Addr: d.Addr, Len: 0},
			{Addr: d.Addr, Len: 2048 - 255},
			{Addr: d.Addr, Len: ^uint32(0)},
			{Addr: base + 2047, Len: 2},
			{Addr: d.Addr, Len: 60, Options: 1},
		}
	}
	d := rapid.SampledFrom(bad).Draw(t, "bad")
	if n := m.socket.Transmit([]xsk.Desc{d}); n != 1 {
		t.Fatalf("Transmit(%+v) = %d, want 1", d, n)
	}
	m.refused++
}

func (m *model) release(t *rapid.T) { m.socket.Release(descsOf(m.take(t))) }

// releaseBad gives back what is not held: a frame outside, or one released before.
func (m *model) releaseBad(t *rapid.T) {
	bad := []xsk.Desc{{Addr: uint64(m.frames) * 2048, Len: 1}, {Addr: ^uint64(0)}}
	if len(m.held) > 0 {
		d := m.held[0].desc
		m.held = slices.Clone(m.held[1:])
		m.socket.Release([]xsk.Desc{d})
		bad = []xsk.Desc{d}
	}
	m.socket.Release(bad[:1])
	m.refused++
}

func (m *model) flush(t *rapid.T) {
	err := m.socket.Flush()
	m.driver()
	if m.down && len(m.onTX) > 0 && err == nil && m.socket.Pending() == 0 {
		t.Fatal("flushed over a link that is down")
	}
	m.collect(t)
}

// driver runs a zero-copy driver: it takes nothing while the link is down.
func (m *model) driver() {
	if m.linux == xsktest.ZeroCopy && !m.down {
		m.kernel.Transmit()
	}
}

// collect compares what was sent with the front of what was transmitted.
func (m *model) collect(t *rapid.T) {
	taken := m.kernel.Taken()
	done := int(taken - m.taken)
	m.taken = taken
	sent := m.kernel.Sent()
	expect := m.onTX[:done]
	if len(sent)+m.dropped < len(expect) {
		t.Fatalf("%d packets taken, but %d sent", len(expect), len(sent))
	}
	// What was dropped is missing somewhere in the order; nothing may be new.
	for _, p := range sent {
		number := binary.BigEndian.Uint64(p)
		i := slices.Index(expect, number)
		if i < 0 {
			t.Fatalf("packet %d sent out of order, twice, or never given", number)
		}
		m.dropped -= i
		expect = expect[i+1:]
	}
	m.dropped -= len(expect)
	if m.dropped < 0 {
		t.Fatalf("%d packets vanished", -m.dropped)
	}
	m.onTX = m.onTX[done:]
	// The kernel may not tell of all that it has taken.
	if behind := int(m.socket.Pending()) - len(m.onTX); behind != 0 && !m.mayLag(behind) {
		t.Fatalf("%d packets pending, want %d", m.socket.Pending(), len(m.onTX))
	}
}

// mayLag reports whether the kernel may have taken so many packets more than it says.
func (m *model) mayLag(behind int) bool {
	switch m.linux {
	case xsktest.Linux617:
		return behind > 0
	case xsktest.Linux61:
		return behind > 0 && behind < 32
	}
	return false
}

func (m *model) trouble(t *rapid.T) {
	switch rapid.IntRange(0, 5).Draw(t, "trouble") {
	case 0:
		m.kernel.Hold(rapid.Bool().Draw(t, "hold"))
	case 1:
		m.down = rapid.Bool().Draw(t, "down")
		m.kernel.SetDown(m.down)
	case 2:
		m.kernel.SetBudget(rapid.IntRange(1, 4).Draw(t, "budget"))
	case 3:
		m.kernel.Answer(unix.EAGAIN, unix.ENOBUFS, unix.EINTR)
	case 4:
		n := rapid.IntRange(0, 3).Draw(t, "drops")
		m.kernel.Drop(n)
		m.dropped = n
	case 5:
		m.kernel.SetNeedWakeup(rapid.Bool().Draw(t, "need wakeup"))
	}
}

// check holds after every step.
func (m *model) check(t *rapid.T) {
	a := m.socket.Account()
	if a.Total() != m.frames {
		t.Fatalf("%+v: sum %d, want %d", a, a.Total(), m.frames)
	}
	if a.Held != uint32(len(m.held)) {
		t.Fatalf("%+v: %d held, want %d", a, a.Held, len(m.held))
	}
	if a.Transmit < uint32(len(m.onTX)) {
		t.Fatalf("%+v: more on the TX ring, %d", a, len(m.onTX))
	}
	st, err := m.socket.Statistics()
	if err != nil || st.Refused != m.refused || st.Strays != 0 {
		t.Fatalf("statistics %+v, %v: want %d refused, no strays", st, err, m.refused)
	}
	if err := m.kernel.Err(); err != nil {
		t.Fatal(err)
	}
}

// drain ends all trouble and takes everything back. Then every frame must be free or
// filled, and receiving must bring each of them once.
func (m *model) drain(t *rapid.T) {
	m.down = false
	m.kernel.SetDown(false)
	m.kernel.Hold(false)
	m.kernel.SetNeedWakeup(true)
	m.socket.Release(descsOf(m.held))
	m.held = nil
	// A driver takes no more than the COMPLETION ring has room for: without Recycle a
	// zero-copy socket's owner would wait for ever.
	for round := 0; m.socket.Pending() > 0; round++ {
		if round == 1000 {
			t.Fatalf("%d packets pending, although nothing stands against them", m.socket.Pending())
		}
		if err := m.socket.Flush(); err != nil {
			t.Fatal(err)
		}
		m.driver()
		m.socket.Recycle()
	}
	m.collect(t)
	m.socket.Recycle()
	for len(m.onRX) > 0 {
		m.receive(t)
	}
	m.socket.Release(descsOf(m.held))
	m.held = nil
	m.socket.Recycle()
	m.check(t)
	if a := m.socket.Account(); a.Free+a.Filled != m.frames {
		t.Fatalf("drained, but %+v", a)
	}
	for uint32(len(m.held)) < m.frames {
		m.deliver(t)
		m.receive(t)
		m.socket.Recycle()
	}
	m.check(t)
}

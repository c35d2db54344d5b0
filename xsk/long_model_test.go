package xsk_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// longModel has packets of any length go through a socket, in whatever portions, and knows
// what comes out of it: each packet whole, in order, or not at all.
type longModel struct {
	linux  xsktest.Linux
	kernel *xsktest.Kernel
	socket *xsk.Socket
	number byte

	onRX [][]byte
	held []xsk.Desc
	want [][]byte // of held
	onTX [][]byte // transmitted, and not sent yet
}

// TestLongModel: packets of one frame and of several, too long ones among them, with short
// rings, few frames, batches that end amid a packet, and kernels that take a part of the ring.
func TestLongModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &longModel{linux: rapid.SampledFrom(append(xsktest.CopyModes, xsktest.ZeroCopy)).Draw(t, "linux")}
		ring := uint32(1) << rapid.IntRange(4, 6).Draw(t, "log2 ring size")
		m.kernel = xsktest.NewMultiBuffer(m.linux, ring+2*rapid.Uint32Range(8, 60).Draw(t, "frames/2"), // more than FILL takes
			rapid.SampledFrom([]uint32{2048, 4096}).Draw(t, "frame"), ring)
		m.socket = m.kernel.Socket()
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"deliver":  m.deliver,
			"receive":  m.receive,
			"transmit": m.transmit,
			"release":  m.release,
			"flush":    m.flush,
			"recycle":  func(*rapid.T) { m.socket.Recycle() },
			"hold":     func(t *rapid.T) { m.kernel.Hold(rapid.Bool().Draw(t, "on")) },
			"complete": func(t *rapid.T) { m.kernel.Complete(rapid.IntRange(1, 8).Draw(t, "n")) },
		})
		m.drain(t)
	})
}

func (m *longModel) deliver(t *rapid.T) {
	m.number++
	p := bytes.Repeat([]byte{m.number}, rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, m.socket.Info().MaxPacket+4000)).Draw(t, "length"))
	for i := range p {
		p[i] += byte(i / 256)
	}
	ok := m.kernel.Deliver(p)
	if ok && len(p) <= 12288-256 { // else it is in no place
		m.onRX = append(m.onRX, p)
	}
}

func (m *longModel) receive(t *rapid.T) {
	descs := make([]xsk.Desc, rapid.IntRange(0, 20).Draw(t, "n"))
	n := m.socket.Receive(descs)
	if n > len(m.onRX) {
		t.Fatalf("received %d packets of %d", n, len(m.onRX))
	}
	for i, d := range descs[:n] {
		if !bytes.Equal(m.socket.UMEM().Frame(d), m.onRX[i]) {
			t.Fatalf("packet %d of %d bytes is another one, of %d", i, d.Len, len(m.onRX[i]))
		}
		if f, ok := m.socket.UMEM().Shift(&d, 100); !ok || !bytes.Equal(f[100:], m.onRX[i]) {
			t.Fatal("there is no room in front of it")
		}
		m.socket.UMEM().Shift(&d, -100)
		m.held = append(m.held, d)
	}
	m.want = append(m.want, m.onRX[:n]...)
	m.onRX = m.onRX[n:]
}

// take takes some of the held packets.
func (m *longModel) take(t *rapid.T) []xsk.Desc {
	return m.held[:rapid.IntRange(0, len(m.held)).Draw(t, "n")]
}

func (m *longModel) drop(n int) {
	m.held, m.want = m.held[n:], m.want[n:]
}

func (m *longModel) transmit(t *rapid.T) {
	n := m.socket.Transmit(m.take(t))
	m.onTX = append(m.onTX, m.want[:n]...)
	m.drop(n)
}

func (m *longModel) release(t *rapid.T) {
	descs := m.take(t)
	m.socket.Release(descs)
	m.drop(len(descs))
}

func (m *longModel) flush(t *rapid.T) {
	if err := m.socket.Flush(); err != nil {
		t.Fatal(err)
	}
	if m.linux == xsktest.ZeroCopy {
		m.kernel.Transmit()
	}
	m.sent(t)
}

func (m *longModel) sent(t *rapid.T) {
	sent := m.kernel.Sent()
	if len(sent) > len(m.onTX) {
		t.Fatalf("%d packets were sent of %d", len(sent), len(m.onTX))
	}
	for i, p := range sent {
		if !bytes.Equal(p, m.onTX[i]) {
			t.Fatalf("packet %d was sent as another one", i)
		}
	}
	m.onTX = m.onTX[len(sent):]
}

func (m *longModel) check(t *rapid.T) {
	if err := m.kernel.Err(); err != nil {
		t.Fatal(err)
	}
	if a, u := m.socket.Account(), m.socket.UMEM(); a.Total() != u.Frames() {
		t.Fatalf("%+v of %d frames", a, u.Frames())
	}
	if n := m.socket.UMEM().Long(); n > len(m.held)+1 {
		t.Fatalf("%d places are taken, %d packets are held", n, len(m.held))
	}
	if s, err := m.socket.Statistics(); err != nil || s.Refused != 0 || s.Strays != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// drain has everything come to its end: nothing is lost, and nothing left behind.
func (m *longModel) drain(t *rapid.T) {
	m.kernel.Hold(false)
	for tries := 0; len(m.onRX)+len(m.held)+len(m.onTX) > 0; tries++ {
		if tries > 1000 {
			t.Fatalf("%d are still to be received, %d held, %d to be sent", len(m.onRX), len(m.held), len(m.onTX))
		}
		descs := make([]xsk.Desc, 7)
		m.held = append(m.held, descs[:m.socket.Receive(descs)]...)
		n := len(m.held) - len(m.want)
		m.want = append(m.want, m.onRX[:n]...)
		m.onRX = m.onRX[n:]
		n = m.socket.Transmit(m.held)
		m.onTX = append(m.onTX, m.want[:n]...)
		m.drop(n)
		m.flush(t)
		m.socket.Recycle()
	}
	for range 20 { // what was too long, for the last time
		m.socket.Receive(make([]xsk.Desc, 7))
	}
	m.flush(t)
	m.socket.Recycle()
	if a := m.socket.Account(); a.Held != 0 || a.Transmit != 0 || m.socket.UMEM().Long() != 0 {
		t.Fatalf("left behind: %+v, %d places", a, m.socket.UMEM().Long())
	}
	m.check(t)
}

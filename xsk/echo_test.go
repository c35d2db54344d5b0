package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// testEtherType is IEEE 802's for local experiments: no stack answers it.
const testEtherType = 0x88b5

// frame returns a packet of the given length with its number in it; what follows the
// number depends on it, so that no two packets are alike.
func frame(number uint64, length int) []byte {
	p := make([]byte, length)
	fillFrame(p, number)
	return p
}

func fillFrame(p []byte, number uint64) {
	copy(p, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02")
	binary.BigEndian.PutUint16(p[12:], testEtherType)
	binary.BigEndian.PutUint64(p[14:], number)
	for i := 22; i < len(p); i++ {
		p[i] = byte(number>>(i%8) + uint64(i))
	}
}

// swapMACs turns a packet round.
func swapMACs(p []byte) {
	var dst [6]byte
	copy(dst[:], p)
	copy(p, p[6:12])
	copy(p[6:12], dst[:])
}

// echo sends everything back that a socket receives, until stop is closed. It is the
// loop of the package comment, with a nap for idle moments.
type echo struct {
	socket *xsk.Socket
	once   sync.Once
	stop   chan struct{}
	done   chan struct{}
	each   func([]xsk.Desc) // called with each batch, if not nil
	errs   map[error]int    // by sentinel
	bad    error            // first violation of the account, or unknown error
}

func startEcho(t testing.TB, s *xsk.Socket, each func([]xsk.Desc)) *echo {
	e := &echo{socket: s, stop: make(chan struct{}), done: make(chan struct{}), each: each, errs: map[error]int{}}
	go e.run()
	t.Cleanup(e.halt) // before the socket is closed, also when the test failed
	return e
}

func (e *echo) halt() {
	e.once.Do(func() { close(e.stop) })
	<-e.done
}

func (e *echo) run() {
	defer close(e.done)
	var descs [64]xsk.Desc
	for {
		select {
		case <-e.stop:
			return
		default:
		}
		n := e.socket.Receive(descs[:])
		for _, d := range descs[:n] {
			swapMACs(e.socket.UMEM().Frame(d))
		}
		if e.each != nil {
			e.each(descs[:n])
		}
		sent := e.socket.Transmit(descs[:n])
		e.socket.Release(descs[sent:n])
		e.note(e.socket.Flush())
		e.socket.Recycle()
		if a := e.socket.Account(); a.Total() != e.socket.UMEM().Frames() {
			e.bad = errors.Join(e.bad, errors.New("frames lost or found"))
			return
		}
		if n == 0 {
			e.note(e.socket.Wait(5 * time.Millisecond))
		}
	}
}

func (e *echo) note(err error) {
	if err == nil {
		return
	}
	for _, known := range []error{xsk.ErrLinkDown, xsk.ErrGone} {
		if errors.Is(err, known) {
			e.errs[known]++
			return
		}
	}
	e.bad = errors.Join(e.bad, err)
}

// end stops the loop and fails the test if anything went wrong in it.
func (e *echo) end(t testing.TB) {
	t.Helper()
	e.halt()
	if e.bad != nil {
		t.Errorf("%v; %+v", e.bad, e.socket.Account())
	}
}

// settle takes back everything that is under way and fails the test if a frame is
// missing then. The kernel's view must agree.
func settle(t testing.TB, s *xsk.Socket) {
	t.Helper()
	var descs [64]xsk.Desc
	deadline := time.Now().Add(10 * time.Second)
	for {
		for n := s.Receive(descs[:]); n > 0; n = s.Receive(descs[:]) {
			s.Release(descs[:n])
		}
		must(t, s.Flush())
		s.Recycle()
		a := s.Account()
		if a.Total() != s.UMEM().Frames() {
			t.Fatalf("%+v: sum %d, want %d", a, a.Total(), s.UMEM().Frames())
		}
		if a.Free+a.Filled == s.UMEM().Frames() && s.Pending() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("frames are still under way: %+v, %d pending", a, s.Pending())
		}
		must(t, s.Wait(time.Millisecond))
	}
	st, err := s.Statistics()
	must(t, err)
	if st.Strays != 0 || st.RxInvalid != 0 || st.TxInvalid != 0 {
		t.Errorf("the kernel's view differs: %+v", st)
	}
}

// TestEcho has a plain packet socket send packets of all lengths and expects each back
// once, with its addresses swapped and no other byte changed.
func TestEcho(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		sockets := redirect(t, v0)
		s := open(t, xsk.Config{Interface: "v0", Driver: driver})
		if mode := s.Info().Mode; mode != xsk.ModeCopy {
			t.Errorf("mode %q on veth, want %q", mode, xsk.ModeCopy)
		}
		enter(t, sockets, s)
		peer := rawSocket(t, v1)
		e := startEcho(t, s, nil)

		const total = 20_000
		const window = 64 // veth's own ring holds 256
		random := rand.New(rand.NewPCG(1, 2))
		lengths := make([]int, total)
		back := make([]int, total)
		buf := make([]byte, 2048)
		for sent, received := 0, 0; received < total; {
			for ; sent < total && sent-received < window; sent++ {
				lengths[sent] = 60 + random.IntN(1514-60+1)
				must(t, unix.Send(peer, frame(uint64(sent), lengths[sent]), 0))
			}
			got, err := receive(peer, buf)
			if err != nil {
				t.Fatalf("%d of %d packets came back, then: %v", received, total, err)
			}
			number := binary.BigEndian.Uint64(got[14:])
			if number >= uint64(sent) {
				t.Fatalf("packet %d came back, which was not sent yet", number)
			}
			want := frame(number, lengths[number])
			swapMACs(want)
			if !bytes.Equal(got, want) {
				t.Fatalf("packet %d came back changed:\n%x\nwant\n%x", number, got, want)
			}
			back[number]++
			received++
		}
		e.end(t)
		if n, _, err := unix.Recvfrom(peer, buf, unix.MSG_DONTWAIT); err == nil {
			t.Errorf("%d packets came back, and then one more: %x", total, buf[:n])
		}
		for number, times := range back {
			if times != 1 {
				t.Fatalf("packet %d came back %d times", number, times)
			}
		}
		settle(t, s)
	})
}

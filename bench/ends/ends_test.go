package ends

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Handler{ServerTask: Serve, ClientTask: Ask})
	os.Exit(m.Run())
}

// free returns a port of the loopback interface that nobody listens on.
func free(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	any := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
	fd, err := listen("tcp", any)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	a, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if a6, ok := a.(*unix.SockaddrInet6); ok {
		return netip.AddrPortFrom(any.Addr(), uint16(a6.Port))
	}
	return netip.AddrPortFrom(any.Addr(), uint16(a.(*unix.SockaddrInet4).Port))
}

// serve has a server in a child until the test ends.
func serve(t *testing.T, at ...netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- child.Run(ctx, ServerTask, Server{Listen: at}, func(string) { close(ready) }, nil)
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the server: %v", err)
		}
	})
}

// ask has a client in a child do a task.
func ask(t *testing.T, task Task) (found result.Sample, err error) {
	t.Helper()
	err = child.Run(t.Context(), ClientTask, task, func(string) {}, func(s result.Sample) { found = s })
	return found, err
}

func TestPing(t *testing.T) {
	four, six := free(t, "127.0.0.1"), free(t, "::1")
	serve(t, four, six)
	for _, protocol := range []string{"udp", "tcp"} {
		for _, to := range []netip.AddrPort{four, six} {
			for _, rate := range []float64{0, 2000} {
				const d = 100 * time.Millisecond
				s, err := ask(t, Task{Kind: Ping, Protocol: protocol, Server: to, Duration: d, Rate: rate, Sockets: 4, CPUs: []int{0}})
				if err != nil {
					t.Fatalf("%s %v: %v", protocol, to, err)
				}
				h, err := Times(s)
				if err != nil {
					t.Fatal(err)
				}
				// One question at a time: what they took together is about the time there was.
				if sum := time.Duration(h.Mean() * float64(h.TotalCount())); h.TotalCount() == 0 || sum > 2*d+patience(protocol) || h.Min() <= 0 {
					t.Errorf("%s %v: %d answers, %v in all, %d ns at least", protocol, to, h.TotalCount(), sum, h.Min())
				}
				if lost := Value(s, "lost"); lost > 0 {
					t.Errorf("%s %v: %v lost", protocol, to, lost)
				}
				if got := Value(s, "rate"); (rate > 0) != (got > 0) || got > rate {
					t.Errorf("%s %v: %v a second asked beside it, want %v at most", protocol, to, got, rate)
				}
				if lost := Value(s, "unanswered"); lost != 0 {
					t.Errorf("%s %v: %v of those unanswered", protocol, to, lost)
				}
			}
		}
	}
}

func TestLoadAndConnect(t *testing.T) {
	four, six := free(t, "127.0.0.1"), free(t, "::1")
	serve(t, four, six)
	for _, to := range []netip.AddrPort{four, six} {
		for _, task := range []Task{{Kind: Load, Protocol: "udp"}, {Kind: Load, Protocol: "tcp"}, {Kind: Connect, Protocol: "tcp"}} {
			task.Server, task.Duration, task.Sockets = to, 50*time.Millisecond, 8
			s, err := ask(t, task)
			if err != nil {
				t.Fatalf("%+v: %v", task, err)
			}
			rate, done, failed := Value(s, "rate"), Value(s, "done"), Value(s, "failed")
			if rate <= 0 || done <= 0 || failed != 0 {
				t.Errorf("%s %s %v: rate %v, %v done, %v failed", task.Kind, task.Protocol, to, rate, done, failed)
			}
		}
	}
}

// Nobody listens: that is an error, not a rate of zero.
func TestNobodyThere(t *testing.T) {
	to := free(t, "127.0.0.1")
	for _, task := range []Task{
		{Kind: Ping, Protocol: "tcp"}, {Kind: Ping, Protocol: "udp"}, {Kind: Load, Protocol: "tcp"}, {Kind: Load, Protocol: "udp"}, {Kind: Connect, Protocol: "tcp"},
	} {
		task.Server, task.Duration, task.Sockets = to, 50*time.Millisecond, 4
		if s, err := ask(t, task); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s %s: %+v, %v", task.Kind, task.Protocol, s, err)
		}
	}
	if _, err := ask(t, Task{Kind: "guess"}); err == nil || !strings.Contains(err.Error(), "guess") {
		t.Errorf("an unknown kind: %v", err)
	}
}

// liar is a server that answers the n-th question with what it is told to.
func liar(t *testing.T, answer func(n int, question []byte) []byte) netip.AddrPort {
	t.Helper()
	at := free(t, "127.0.0.1")
	l, err := listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(l, false); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			fd, _, err := unix.Accept(l)
			if err != nil {
				return // shut down
			}
			buf := make([]byte, size)
			for n := 0; ; n++ {
				if got, err := read(fd, buf); err != nil || got < size {
					break
				}
				reply := answer(n, buf)
				if _, err := unix.Write(fd, reply); err != nil || reply == nil {
					break
				}
			}
			unix.Close(fd)
		}
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(l, unix.SHUT_RDWR) // wakes the goroutine
		<-done
		unix.Close(l)
	})
	return at
}

func TestWrongAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(int, []byte) []byte
		want   string
	}{
		"another's bytes": {func(_ int, q []byte) []byte { q[20]++; return q }, "wrong answer"},
		"a later number": {func(_ int, q []byte) []byte {
			m := newMessage()
			m.number(1 << 40)
			return m[:]
		}, "asked were"},
		"the end": {func(int, []byte) []byte { return nil }, "closed"},
	} {
		to := liar(t, c.answer)
		for _, kind := range []Kind{Ping, Load} {
			if _, err := ask(t, Task{Kind: kind, Protocol: "tcp", Server: to, Duration: 50 * time.Millisecond, Sockets: 1}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
	to := liar(t, func(_ int, q []byte) []byte { q[20]++; return q })
	if _, err := ask(t, Task{Kind: Connect, Protocol: "tcp", Server: to, Duration: 20 * time.Millisecond, Sockets: 1}); err == nil || !strings.Contains(err.Error(), "wrong answer") {
		t.Errorf("connections with wrong answers: %v", err)
	}
	// Some fail: they are counted.
	n := 0
	to = liar(t, func(_ int, q []byte) []byte {
		if n++; n%3 == 0 {
			return nil
		}
		return q
	})
	s, err := ask(t, Task{Kind: Connect, Protocol: "tcp", Server: to, Duration: 50 * time.Millisecond, Sockets: 1})
	if err != nil || Value(s, "failed") < 1 || Value(s, "done") < 1 || !strings.Contains(s.Labels[Why], "closed") {
		t.Errorf("with failures: %+v, %v", s, err)
	}
}

// Answers in a stream come in pieces of any size.
func TestTakeInPieces(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	l := &loader{part: map[int]int{}, asked: 10}
	m := newMessage()
	m.number(3)
	stream := bytes.Repeat(m[:], 10)
	whole := 0
	for _, n := range []int{1, 63, 64, 100, 92, 200, 120} {
		if _, err := unix.Write(fds[1], stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
		got, err := l.take(fds[0])
		if err != nil {
			t.Fatal(err)
		}
		whole += got
	}
	if whole != 10 || l.answered != 10 || len(l.part) != 0 || len(stream) != 0 {
		t.Errorf("%d whole answers of 10, %d counted, %v left over", whole, l.answered, l.part)
	}
	if n, err := l.take(fds[0]); n != 0 || err != nil {
		t.Errorf("from an empty socket: %d, %v", n, err)
	}
}

func TestTimesErrors(t *testing.T) {
	for _, text := range []string{"", "nonsense"} {
		if _, err := Times(result.Sample{Labels: map[string]string{Histogram: text}}); err == nil {
			t.Errorf("a histogram out of %q", text)
		}
	}
	if r := perSecond(10, 0); math.IsInf(r, 0) || math.IsNaN(r) {
		t.Errorf("10 in no time are %v a second, which JSON can't say", r)
	}
	var task Task
	if err := json.Unmarshal([]byte(`{"Server":"[2001:db8::1]:7"}`), &task); err != nil || task.Server.Port() != 7 {
		t.Errorf("%+v %v", task, err)
	}
}

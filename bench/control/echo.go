package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
)

// EchoTask names the handler of an [Echo], which is [SendEcho], for [child.Main].
const EchoTask = "control/echo"

// Echo is the task of a child that sends echo requests (RFC 792) at a steady rate,
// whatever becomes of them, until it is killed. Each time that a [Period] has passed it
// hands over a sample with the histograms of what the answers took, under the names of
// who gave them.
type Echo struct {
	To   map[string]netip.Addr // IPv4, by name
	Rate float64               // requests a second to each
	CPUs []int
}

// Period is how often there is a sample.
const Period = 200 * time.Millisecond

// tooLate is when a request that was not answered counts as lost, and as one that has
// taken so long: left out, losses would make the figures better.
const tooLate = 3 * time.Second

// histogram returns one of nanoseconds.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(time.Minute), 3) }

// SendEcho is the child's handler of an [Echo].
func SendEcho(task json.RawMessage, out *child.Out) error {
	var t Echo
	if err := json.Unmarshal(task, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	// Neither the garbage collector nor another process is to be in the times.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	if err := peer.PinProcess(os.Getpid(), t.CPUs); err != nil {
		return err
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); err != nil {
		return fmt.Errorf("favour the thread that sends: %w", err)
	}
	// Sleep as long as asked for: by default it may be 50 µs more.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	e, err := newEchoes(&t)
	if err != nil {
		return err
	}
	return e.run(out)
}

// echoes is a socket, and the requests that were sent.
type echoes struct {
	fd    int
	gap   time.Duration // between two requests, to whomever
	to    []*target
	wall  func() int64 // ns; of the clock that the kernel stamps packets by
	frame [1500]byte
	extra [128]byte
}

// target is who answers.
type target struct {
	name    string
	address unix.SockaddrInet4
	next    uint16         // number of the next request
	oldest  uint16         // number of the oldest that may be unanswered
	sent    [1 << 16]int64 // when, by number; 0: answered
	took    *hdrhistogram.Histogram
	lost    int
}

func newEchoes(t *Echo) (*echoes, error) {
	e := &echoes{wall: func() int64 { return time.Now().UnixNano() }}
	for name, a := range t.To {
		e.to = append(e.to, &target{name: name, address: unix.SockaddrInet4{Addr: a.As4()}, took: histogram()})
	}
	e.gap = time.Duration(float64(time.Second) / t.Rate / float64(len(e.to)))
	var err error
	e.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err == nil {
		// When an answer has come, the kernel says: how long this process took to
		// wake up is nothing of the balancer's.
		err = unix.SetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("open a socket for ICMP: %w", err)
	}
	return e, nil
}

func (e *echoes) run(out *child.Out) error {
	begun := time.Now()
	tell := begun.Add(Period)
	for i := 0; ; i++ {
		// What could not be sent in time is not made good at once: it would be a burst.
		due := begun.Add(time.Duration(i) * e.gap)
		if late := time.Since(due); late > e.gap {
			begun = begun.Add(late)
		}
		if err := e.receiveUntil(due); err != nil {
			return err
		}
		if err := e.send(e.to[i%len(e.to)]); err != nil {
			return err
		}
		if now := time.Now(); now.After(tell) {
			tell = now.Add(Period)
			if err := e.tell(out); err != nil {
				return err
			}
		}
	}
}

// id tells our requests from others'; a raw socket sees all answers.
const id = 0xaf1b

func (e *echoes) send(t *target) error {
	b := request(t.next)
	t.sent[t.next] = e.wall()
	t.next++
	if err := unix.Sendto(e.fd, b[:], 0, &t.address); err != nil {
		return fmt.Errorf("send an echo request to %s: %w", t.name, err)
	}
	return nil
}

// request is an echo request with some data.
func request(number uint16) (b [64]byte) {
	b[0] = 8
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], number)
	sum := uint32(8)<<8 + id + uint32(number) // the data is zeros
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	return b
}

// receiveUntil takes answers until a time.
func (e *echoes) receiveUntil(until time.Time) error {
	fds := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}
	for {
		if err := e.receive(); err != nil {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		wait := unix.NsecToTimespec(left.Nanoseconds())
		if _, err := unix.Ppoll(fds, &wait, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for an answer: %w", err)
		}
	}
}

// receive takes all answers that are there.
func (e *echoes) receive() error {
	for {
		n, extra, _, from, err := unix.Recvmsg(e.fd, e.frame[:], e.extra[:], 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("receive an answer: %w", err)
		}
		at, err := stamp(e.extra[:extra])
		if err != nil {
			return err
		}
		number, ok := reply(e.frame[:n])
		a, isIPv4 := from.(*unix.SockaddrInet4)
		for _, t := range e.to {
			if ok && isIPv4 && a.Addr == t.address.Addr && t.sent[number] != 0 {
				if err := t.took.RecordValue(max(at-t.sent[number], 1)); err != nil {
					return err
				}
				t.sent[number] = 0
			}
		}
	}
}

// stamp reads the time at which the kernel has received a packet.
func stamp(extra []byte) (int64, error) {
	messages, err := unix.ParseSocketControlMessage(extra)
	if err != nil {
		return 0, fmt.Errorf("read a packet's time: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:])), nil
		}
	}
	return 0, errors.New("read a packet's time: it has none")
}

// reply returns the number of one of our echo replies, which comes with its IPv4 header.
func reply(b []byte) (number uint16, ok bool) {
	if len(b) == 0 || len(b) < int(b[0]&15)*4+8 {
		return 0, false
	}
	b = b[int(b[0]&15)*4:]
	return binary.BigEndian.Uint16(b[6:]), b[0] == 0 && b[1] == 0 && binary.BigEndian.Uint16(b[4:]) == id
}

// tell hands over what the answers since the last time took.
func (e *echoes) tell(out *child.Out) error {
	s := result.Sample{Labels: map[string]string{}}
	now := e.wall()
	for _, t := range e.to {
		for ; t.oldest != t.next; t.oldest++ {
			if sent := t.sent[t.oldest]; sent != 0 {
				if now-sent < tooLate.Nanoseconds() {
					break
				}
				t.sent[t.oldest] = 0
				t.lost++
				if err := t.took.RecordValue(tooLate.Nanoseconds()); err != nil {
					return err
				}
			}
		}
		text, err := t.took.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return fmt.Errorf("write histogram: %w", err)
		}
		s.Labels[t.name] = string(text)
		s.Values = append(s.Values, result.Value{Name: t.name, V: float64(t.lost)})
		t.took.Reset()
		t.lost = 0
	}
	out.Sample(s)
	return nil
}

package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

func TestLocal(t *testing.T) {
	dial := func(call string, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{dial("socket", syscall.EMFILE), true},
		{dial("socket", syscall.ENFILE), true},
		{dial("connect", syscall.ENOBUFS), true},
		{dial("connect", syscall.ENOMEM), true},
		{dial("connect", syscall.EADDRNOTAVAIL), true},
		{dial("connect", syscall.ENETDOWN), true},
		{dial("connect", syscall.EPERM), true},
		{fmt.Errorf("send request: %w", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENOBUFS)}), true},
		{&net.OpError{Op: "dial", Err: syscall.ENOSPC}, true},

		{unsent{dial("connect", syscall.EHOSTUNREACH)}, true},
		{unsent{dial("connect", syscall.ENETUNREACH)}, true},
		{unsent{dial("connect", syscall.EACCES)}, true},
		{fmt.Errorf("no answer: %w", unsent{dial("socket", syscall.EAFNOSUPPORT)}), true},

		{dial("connect", syscall.EHOSTUNREACH), false},
		{dial("connect", syscall.ENETUNREACH), false},
		{dial("connect", syscall.EACCES), false},
		{dial("connect", syscall.ECONNREFUSED), false},
		{dial("connect", syscall.ECONNRESET), false},
		{dial("connect", syscall.ETIMEDOUT), false},
		{context.DeadlineExceeded, false},
		{errors.New("status 500"), false},
		{nil, false},
	} {
		if got := local(test.err); got != test.want {
			t.Errorf("%v: local %v, want %v", test.err, got, test.want)
		}
	}
}

// TestLocalErrorsAreReported as such, at the ordinary interval.
func TestLocalErrorsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(context.Context) error { return os.NewSyscallError("socket", syscall.EMFILE) })
		s.Set(targets(1))
		time.Sleep(15 * time.Second)
		s.Close()
		if n := len(s.results); n != 2 {
			t.Errorf("%d results in 15 s, want 2", n)
		}
		for _, r := range s.results {
			if !r.Local || r.Err == nil || r.Err.Error() != "socket: too many open files" {
				t.Errorf("result %+v, want a local error", r)
			}
		}
	})
}

// TestBusyBalancer has a timeout noticed late, as by a process that gets no CPU.
func TestBusyBalancer(t *testing.T) {
	for _, test := range []struct {
		timeout, noticed time.Duration
		local            bool
	}{
		{2 * time.Second, 2 * time.Second, false},
		{2 * time.Second, 2200 * time.Millisecond, false},
		{2 * time.Second, 2201 * time.Millisecond, true},
		{2 * time.Second, time.Minute, true},
		{10 * time.Millisecond, 60 * time.Millisecond, false}, // timers are not that precise
		{10 * time.Millisecond, 61 * time.Millisecond, true},
	} {
		t.Run(fmt.Sprint(test.timeout, " at ", test.noticed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(test.noticed - test.timeout)
					return ctx.Err()
				})
				a := target(1)
				a.Timeout, a.Interval = test.timeout, time.Hour
				s.Set([]Target{a})
				time.Sleep(2 * time.Minute)
				s.Close()
				want := fmt.Sprintf("no answer within %v: context deadline exceeded", test.timeout)
				if test.local {
					want = fmt.Sprintf("no answer within %v, but the balancer itself was too busy to look for one: context deadline exceeded", test.timeout)
				}
				if r := s.results[0]; r.Local != test.local || r.Took != test.noticed || r.Err == nil || r.Err.Error() != want {
					t.Errorf("result %+v, want %q, local %v", r, want, test.local)
				}
			})
		})
	}
}

// TestBusyWithAnAnswer: a good answer is good, and a bad one bad, whenever it is read.
func TestBusyWithAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		s := newScene(t, func(context.Context) error {
			time.Sleep(5 * time.Second)
			if well.Load() {
				return nil
			}
			return errRefused
		})
		s.Set(targets(1))
		time.Sleep(6 * time.Second)
		well.Store(true)
		time.Sleep(10 * time.Second)
		s.Close()
		if r := s.results[0]; r.Local || r.Err != errRefused {
			t.Errorf("result %+v, want it refused", r)
		}
		if r := s.results[1]; r.Local || r.Err != nil {
			t.Errorf("result %+v, want it good", r)
		}
	})
}

// starvedEnv makes this test binary a process without descriptors, which probes the
// address that it names.
const starvedEnv = "AFXLB_HEALTH_STARVED"

func starved() {
	var held []*os.File // and so not closed by the garbage collector
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 32, Max: 32}); err != nil {
		fmt.Println(err)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	results := make(chan Result)
	p := New(zap.NewNop(), func(r Result) { results <- r })
	p.Set([]Target{TargetOf(netip.MustParseAddrPort(os.Getenv(starvedEnv)),
		&balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 10 * time.Millisecond, Timeout: patient})})
	show := func(r Result) { fmt.Println(r.Local, errors.Is(r.Err, syscall.EMFILE)) }
	show(<-results)
	held[0].Close() // one descriptor a probe is enough
	r := <-results
	for r.Err != nil {
		r = <-results
	}
	show(r)
	os.Exit(0)
}

func TestNoDescriptors(t *testing.T) {
	address := listen(t, func(net.Conn) {})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), starvedEnv+"="+address)
	out, err := child.CombinedOutput()
	if want := "true true\nfalse false\n"; err != nil || !bytes.HasSuffix(out, []byte(want)) {
		t.Errorf("a process without descriptors: %v\n%swant\n%s", err, out, want)
	}
}

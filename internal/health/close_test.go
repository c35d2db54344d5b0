package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// TestServerSeesAnOrderlyClose plays servers that have something to say which the
// probe has no need of. Whatever it is, reading and writing must end well for them.
func TestServerSeesAnOrderlyClose(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	page := func(n int) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", ok, n, strings.Repeat("x", n))
	}
	tcp := balancer.HealthSpec{Type: balancer.HealthTCP}
	http := balancer.HealthSpec{Type: balancer.HealthHTTP}
	word := balancer.HealthSpec{Type: balancer.HealthHTTP, Body: "xxx"}
	absent := balancer.HealthSpec{Type: balancer.HealthHTTP, Body: "yyy"}
	for _, test := range []struct {
		name   string
		spec   balancer.HealthSpec
		answer string
		stays  bool // the server leaves it to the probe to hang up
	}{
		{"tcp, silent server", tcp, "", true},
		{"tcp, server that hangs up", tcp, "", false},
		{"tcp, greeting", tcp, "SSH-2.0-OpenSSH_9.2\r\n", true},
		{"tcp, greeting and goodbye", tcp, "220 mail.example.com ESMTP\r\n", false},
		{"tcp, long greeting", tcp, strings.Repeat("x", 200<<10), true},
		{"http, short page", http, page(10), true},
		{"http, page", http, page(100 << 10), false},
		{"http, page that stays", http, page(100 << 10), true},
		{"http, word found early", word, page(100 << 10), true},
		{"http, page without end mark", word, ok + "\r\n" + strings.Repeat("x", 100<<10), false},
		{"http, chunks", word, ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3\r\nxxx\r\n", 10000) + "0\r\n\r\n", true},
		{"http, page that is cut", word, strings.TrimSuffix(page(100<<10), "x"), false},
		{"http, data after the end", http, page(10) + strings.Repeat("y", 20<<10), true},
		{"http, long page", http, page(5 << 20), true},
		{"http, long page without end mark", http, ok + "\r\n" + strings.Repeat("x", 5<<20), false},
		{"http, word in a long page", word, page(5 << 20), true},
		{"http, long page without the word", absent, page(5 << 20), false},
		{"http, long page that is an error", http, strings.Replace(page(5<<20), "200 OK", "503 Busy", 1), true},
		{"http, no HTTP", http, "220 ready\r\n" + strings.Repeat("x", 200<<10), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ended := make(chan error, 1)
			address := listen(t, func(conn net.Conn) {
				if test.spec.Type == balancer.HealthHTTP {
					readRequest(conn)
				}
				_, err := io.WriteString(conn, test.answer)
				if !test.stays {
					err = errors.Join(err, conn.(*net.TCPConn).CloseWrite())
				}
				_, rerr := io.Copy(io.Discard, conn)
				ended <- errors.Join(err, rerr, socketError(conn))
			})
			test.spec.Timeout = patient
			_, results := running(t, address, test.spec)
			<-results // what the verdict is, is other tests' matter
			if err := <-ended; err != nil {
				t.Errorf("the server saw %v", err)
			}
		})
	}
}

// readRequest reads up to the request's empty line.
func readRequest(conn net.Conn) {
	var request []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(request), "\r\n\r\n"); request = append(request, b...) {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// socketError returns what the kernel holds against a connection that no call has
// told yet.
func socketError(conn net.Conn) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var errno int
	if e := raw.Control(func(fd uintptr) { errno, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR) }); e != nil {
		return e
	}
	if errno != 0 {
		return syscall.Errno(errno)
	}
	return err
}

// TestAnswerIsHeardBeforeTheFIN looks from the server's side while the rest of an
// answer is read.
func TestAnswerIsHeardBeforeTheFIN(t *testing.T) {
	accepted := make(chan net.Conn)
	over := make(chan struct{})
	address := listen(t, func(conn net.Conn) {
		accepted <- conn
		<-over
	})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	heard := false
	newCall(conn, readerFunc(func([]byte) (int, error) {
		heard = true
		server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the server saw %v while it answered", err)
		}
		close(over)
		return 0, io.EOF
	})).hangUp()
	if !heard {
		t.Error("the rest of the answer was not read")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestEndlessServer sends for ever: it is cut off in the end, and costs no more than
// that.
func TestEndlessServer(t *testing.T) {
	cut := make(chan struct{})
	address := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		for chunk := make([]byte, 64<<10); ; {
			if _, err := conn.Write(chunk); err != nil {
				close(cut)
				return
			}
		}
	})
	_, results := running(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient})
	check(t, <-results, "")
	<-cut
}

// running returns a prober at work on one target, and its results.
func running(t *testing.T, address string, spec balancer.HealthSpec, options ...Option) (*Prober, <-chan Result) {
	results := make(chan Result, 100)
	p := New(zap.NewNop(), func(r Result) { results <- r }, options...)
	t.Cleanup(p.Close)
	spec.Interval = time.Hour
	p.Set([]Target{TargetOf(netip.MustParseAddrPort(address), &spec)})
	return p, results
}

// TestVerdictDoesNotWait: what a server does after its answer is not the backend's
// time. It goes on when the verdict is known.
func TestVerdictDoesNotWait(t *testing.T) {
	known, ended := make(chan struct{}), make(chan error, 1)
	address := listen(t, func(conn net.Conn) {
		readRequest(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		<-known
		_, err := io.WriteString(conn, strings.Repeat("x", 100000))
		_, rerr := io.Copy(io.Discard, conn)
		ended <- errors.Join(err, rerr, socketError(conn))
	})
	_, results := running(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient})
	check(t, <-results, "")
	close(known)
	if err := <-ended; err != nil {
		t.Errorf("the server saw %v", err)
	}
}

// TestServerIsTooLate answers when the verdict is out, or greets when the probe has hung
// up: that is no reason to be cut off.
func TestServerIsTooLate(t *testing.T) {
	for _, test := range []struct {
		name string
		spec balancer.HealthSpec
		want string
	}{
		{"answer", balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: hasty}, "no answer within"},
		{"greeting", balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			known, ended := make(chan struct{}), make(chan error, 1)
			address := listen(t, func(conn net.Conn) {
				_, err := io.Copy(io.Discard, conn) // up to the FIN
				<-known
				time.Sleep(3 * linger) // in which it is easy to lose patience
				_, werr := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", 100000))
				ended <- errors.Join(err, werr, conn.(*net.TCPConn).CloseWrite(), socketError(conn))
			})
			_, results := running(t, address, test.spec)
			check(t, <-results, test.want)
			close(known)
			if err := <-ended; err != nil {
				t.Errorf("the server saw %v", err)
			}
		})
	}
}

// TestRemovedWhileItAnswers: a reload is no reason either.
func TestRemovedWhileItAnswers(t *testing.T) {
	asked, removed, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	address := listen(t, func(conn net.Conn) {
		readRequest(conn)
		close(asked)
		<-removed
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", 100000))
		_, rerr := io.Copy(io.Discard, conn)
		ended <- errors.Join(err, rerr, socketError(conn))
	})
	p, _ := running(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient})
	<-asked
	p.Set(nil)
	close(removed)
	if err := <-ended; err != nil {
		t.Errorf("the server saw %v", err)
	}
}

// TestPlaceIsNeeded: servers that take their time for the end give way to other probes,
// and to the end of the prober.
func TestPlaceIsNeeded(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)
	stays := func() string {
		return listenMany(t, func(net.Conn) { <-ended })
	}
	p, results := running(t, stays(), balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient}, WithInFlight(1))
	check(t, <-results, "")
	for range 3 {
		p.Set([]Target{TargetOf(netip.MustParseAddrPort(stays()), &balancer.HealthSpec{Type: balancer.HealthTCP, Interval: time.Hour, Timeout: patient})})
		began := time.Now()
		check(t, <-results, "")
		if took := time.Since(began); took > parting/2 {
			t.Errorf("the next probe waited for %v", took)
		}
	}
	began := time.Now()
	p.Close()
	if took := time.Since(began); took > parting/2 {
		t.Errorf("Close waited for %v", took)
	}
}

// listenMany is listen for servers that do not end by themselves.
func listenMany(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	return l.Addr().String()
}

// TestSameCauseSameText probes each kind of trouble a few times: what users see must
// not change if nothing has changed. The server's behaviour is at its worst: it may
// be noticed at different moments.
func TestSameCauseSameText(t *testing.T) {
	abort := func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) } // and listen closes it
	for _, test := range []struct {
		name    string
		timeout time.Duration
		serve   func(net.Conn)
		want    string
	}{
		{"silent", hasty, func(c net.Conn) { io.Copy(io.Discard, c) }, "no answer within 50ms: read answer: read tcp ADDRESS: i/o timeout"},
		{"reset after the request", patient, func(c net.Conn) { readRequest(c); abort(c) }, "read answer: unexpected EOF"},
		{"closed after the request", patient, readRequest, "read answer: unexpected EOF"},
		{"closed with the request unread", patient, func(c net.Conn) { c.Read(make([]byte, 1)) }, "read answer: unexpected EOF"},
		{"greeting with the time", patient, func(c net.Conn) { fmt.Fprintf(c, "220 mail.example.com %d\r\n", time.Now().UnixNano()) }, "read answer: malformed HTTP response"},
		{"cut by a reset", patient, func(c net.Conn) { readRequest(c); io.WriteString(c, "HTTP/1.1 200 OK\r\nX-"); abort(c) }, "read answer: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := listen(t, test.serve)
			for range 5 {
				r := probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: test.timeout})
				if want := strings.ReplaceAll(test.want, "ADDRESS", address); r.Err == nil || r.Err.Error() != want || r.Local {
					t.Errorf("result %+v, want %q", r, want)
				}
			}
		})
	}
}

// TestAnswerBeforeAReset: a server that has answered and gone before it was asked has
// answered. The kernel tells of it when the request is written.
func TestAnswerBeforeAReset(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE} {
		for answer, want := range map[string]string{
			"HTTP/1.1 503 Busy\r\n\r\n": "status 503, want 200-399",
			"":                          "read answer: unexpected EOF",
		} {
			p := New(zap.NewNop(), nil, WithDial(func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go func() {
					io.WriteString(there, answer)
					there.Close()
				}()
				return &mute{here, errno}, nil
			}))
			r, c := p.probe(t.Context(), TargetOf(anAddress, &balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient}))
			c.hangUp()
			check(t, r, want)
		}
	}
}

// mute is a connection that can't be written to.
type mute struct {
	net.Conn
	errno syscall.Errno
}

func (m *mute) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", m.errno)}
}

package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
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
		{"http, page that is cut", word, strings.TrimSuffix(page(100<<10), "x"), true},
		{"http, data after the end", http, page(10) + strings.Repeat("y", 20<<10), true},
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
			check(t, probeOnce(t, address, test.spec), "")
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
	hangUp(t.Context(), conn, readerFunc(func([]byte) (int, error) {
		heard = true
		server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the server saw %v while it answered", err)
		}
		return 0, io.EOF
	}))
	close(over)
	if !heard {
		t.Error("the rest of the answer was not read")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestEndlessServer sends for ever: it is cut off in the end, and costs no more than
// that.
func TestEndlessServer(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		for chunk := make([]byte, 64<<10); ; {
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
	})
	check(t, probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient}), "")
}

// TestVerdictDoesNotWait: what a server does after its answer is not the backend's
// time.
func TestVerdictDoesNotWait(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
		io.Copy(io.Discard, conn)
		time.Sleep(linger) // the FIN is not answered at once
	})
	began := time.Now()
	r := probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient})
	check(t, r, "")
	if all := time.Since(began); r.Took > all-2*linger {
		t.Errorf("the probe took %v of %v; want it without the two waits", r.Took, all)
	}
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
			check(t, p.probe(t.Context(), TargetOf(anAddress, &balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient})), want)
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

package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// patient is a timeout that no probe of these tests should need; hasty is one
// that some of them must run into.
const (
	patient = time.Minute
	hasty   = 50 * time.Millisecond
)

// probeOnce probes a target at address over real sockets. A machine that is too busy
// to notice the timeout is asked once more: that is another test's matter.
func probeOnce(t *testing.T, address string, spec balancer.HealthSpec) Result {
	t.Helper()
	p := New(zap.NewNop(), nil)
	defer p.Close()
	for {
		r, c := p.probe(t.Context(), TargetOf(netip.MustParseAddrPort(address), &spec))
		if c != nil {
			c.hasten(linger)
			c.hangUp()
		}
		if r.Err == nil || !busy(r.Took, spec.Timeout) {
			return r
		}
	}
}

// check holds a result against a part of the error's text, "" for a good one.
func check(t *testing.T, r Result, want string) {
	t.Helper()
	switch {
	case want == "" && r.Err != nil:
		t.Errorf("result %+v, want it good", r)
	case want != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), want)):
		t.Errorf("result %+v, want an error with %q", r, want)
	}
}

// listen returns a listener on loopback that hands each connection to serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestTCP(t *testing.T) {
	closedByFIN := make(chan error, 1)
	address := listen(t, func(conn net.Conn) {
		_, err := conn.Read(make([]byte, 1))
		closedByFIN <- err
	})
	check(t, probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient}), "")
	if err := <-closedByFIN; err != io.EOF {
		t.Errorf("the server saw %v, want an orderly close", err)
	}
}

func TestTCPRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	r := probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient})
	if r.Local || !errors.Is(r.Err, syscall.ECONNREFUSED) {
		t.Errorf("result %+v, want connection refused, and that to be a verdict", r)
	}
}

// TestTCPTimeout connects to a socket whose backlog is full: Linux then ignores
// further SYNs, as a host does that is down.
func TestTCPTimeout(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 3 { // a backlog of 0 holds one connection, some kernels' two
		conn, err := net.DialTimeout("tcp", address, hasty)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	r := probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: hasty})
	check(t, r, "no answer within 50ms: dial tcp "+address+": i/o timeout")
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		if status == 302 {
			w.Header().Set("Location", "/500")
		}
		if r.URL.Path == "/hints" {
			w.WriteHeader(103)
			w.WriteHeader(103)
			status = 200
		}
		w.WriteHeader(max(status, 200))
		fmt.Fprintf(w, "%s %s host=%s agent=%s close=%v\n", r.Method, r.RequestURI, r.Host, r.UserAgent(), r.Close)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()

	ranges := func(pairs ...int) (list []balancer.StatusRange) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, balancer.StatusRange{First: pairs[i], Last: pairs[i+1]})
		}
		return list
	}
	for _, test := range []struct {
		name string
		spec balancer.HealthSpec
		want string
	}{
		{"plain", balancer.HealthSpec{Path: "/"}, ""},
		{"request", balancer.HealthSpec{Path: "/", Body: "GET / host=" + address + " agent=afxlb-health close=true"}, ""},
		{"path as written", balancer.HealthSpec{Path: "//a/../%7Eb?c=%zz#d", Body: "GET //a/../%7Eb?c=%zz#d host"}, ""},
		{"query", balancer.HealthSpec{Path: "/%7Eb?c=d;e", Body: "GET /%7Eb?c=d;e host"}, ""},
		{"host", balancer.HealthSpec{Path: "/", Host: "www.example.com", Body: "host=www.example.com "}, ""},
		{"redirect is an answer", balancer.HealthSpec{Path: "/302"}, ""},
		{"redirect is not followed", balancer.HealthSpec{Path: "/302", Expect: ranges(500, 500)}, "status 302, want 500"},
		{"404", balancer.HealthSpec{Path: "/404"}, "status 404, want 200-399"},
		{"500", balancer.HealthSpec{Path: "/500"}, "status 500, want 200-399"},
		{"expected 404", balancer.HealthSpec{Path: "/404", Expect: ranges(200, 299, 404, 404)}, ""},
		{"unexpected 204", balancer.HealthSpec{Path: "/204", Expect: ranges(200, 203, 205, 205)}, "status 204, want 200-203,205"},
		{"early hints", balancer.HealthSpec{Path: "/hints", Expect: ranges(200, 200), Body: "GET /hints"}, ""},
		{"body", balancer.HealthSpec{Path: "/", Body: "no such text"}, `body without "no such text"`},
		{"no body at all", balancer.HealthSpec{Path: "/304", Body: "x"}, `body without "x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Type, test.spec.Timeout = balancer.HealthHTTP, patient
			check(t, probeOnce(t, address, test.spec), test.want)
		})
	}
}

// TestHTTPAnswers plays servers that do not behave like Go's.
func TestHTTPAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct {
		name, answer, body, want string
	}{
		{"nothing", "", "", "read answer: unexpected EOF"},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "", "read answer: malformed HTTP response"},
		{"cut in the headers", ok + "Content-", "", "read answer: "},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nall is well", "well", ""},
		{"no reason phrase", "HTTP/1.1 200\r\n\r\n", "", ""},
		{"cut in the body, after what counts", ok + "Content-Length: 100\r\n\r\nall is well", "well", ""},
		{"cut in the body, before what counts", ok + "Content-Length: 100\r\n\r\nall is", "well", `read body without "well" so far: unexpected EOF`},
		{"chunks that split the word", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n", "well", ""},
		{"word at the end of what is read", ok + "\r\n" + strings.Repeat("x", 200<<10) + "well", "well", ""},
		{"word behind what is read", ok + "\r\n" + strings.Repeat("x", 300<<10) + "well", "well",
			`body without "well" (only the first 256 KiB of the answer are read)`},
		{"headers without end", ok + "X: " + strings.Repeat("x", 300<<10), "", "(only the first 256 KiB of the answer are read)"},
		{"hints without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20<<10), "", "(only the first 256 KiB of the answer are read)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := listen(t, func(conn net.Conn) {
				buf := make([]byte, 4096)
				conn.Read(buf)                    // the request, in one piece on loopback
				io.WriteString(conn, test.answer) // fails where the probe has heard enough
				conn.(*net.TCPConn).CloseWrite()  // and lets the probe close first
				io.Copy(io.Discard, conn)
			})
			check(t, probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient, Body: test.body}), test.want)
		})
	}
}

// TestHTTPTimeouts: a server that stalls at any point costs the timeout and no
// more.
func TestHTTPTimeouts(t *testing.T) {
	for name, begin := range map[string]string{
		"silent":             "",
		"stalls in headers":  "HTTP/1.1 200 OK\r\nX-",
		"stalls in the body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwe",
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, func(conn net.Conn) {
				io.WriteString(conn, begin)
				io.Copy(io.Discard, conn) // until the probe gives up
			})
			r := probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: hasty, Body: "well"})
			check(t, r, "no answer within 50ms: ")
			if !errors.Is(r.Err, os.ErrDeadlineExceeded) {
				t.Errorf("%v does not wrap the timeout", r.Err)
			}
		})
	}
}

// TestBodyFoundEarly: a server that has said the word need not come to an end.
func TestBodyFoundEarly(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nall is well")
		io.Copy(io.Discard, conn) // until the probe hangs up, long before its timeout
	})
	check(t, probeOnce(t, address, balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient, Body: "well"}), "")
}

// TestCloseInterruptsAnswer closes the Prober while a server is silent.
func TestCloseInterruptsAnswer(t *testing.T) {
	connected := make(chan struct{})
	address := listen(t, func(conn net.Conn) {
		close(connected)
		io.Copy(io.Discard, conn)
	})
	p := New(zap.NewNop(), func(r Result) { t.Errorf("result of an interrupted probe: %+v", r) })
	p.Set([]Target{TargetOf(netip.MustParseAddrPort(address), &balancer.HealthSpec{Type: balancer.HealthHTTP, Interval: patient, Timeout: patient})})
	<-connected
	p.Close() // would take a minute
}

func TestProbesOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine's loopback: %v", err)
	}
	defer l.Close()
	check(t, probeOnce(t, l.Addr().String(), balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient}), "")
}

// TestDialIsUsed goes through a dialler, as probes from another namespace do.
func TestDialIsUsed(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		there.Read(make([]byte, 4096))
		io.WriteString(there, "HTTP/1.1 200 OK\r\n\r\n")
		there.Close()
	}()
	p := New(zap.NewNop(), nil, WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, ok := ctx.Deadline(); !ok || network != "tcp" || address != "[2001:db8::1]:80" {
			return nil, fmt.Errorf("dial %s %s, deadline %v", network, address, ok)
		}
		return here, nil
	}))
	r, _ := p.probe(t.Context(), TargetOf(netip.MustParseAddrPort("[2001:db8::1]:80"), &balancer.HealthSpec{Type: balancer.HealthHTTP, Timeout: patient}))
	check(t, r, "")
}

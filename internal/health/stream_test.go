package health

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

const httpPort = 8081

// inTunnelByHTTP is the question for a path, by HTTP.
func inTunnelByHTTP(e packet.Encapsulation, inner4, outer4 bool, path string) Target {
	t := inTunnel(e, inner4, outer4, httpPort, patient)
	t.Type, t.Path, t.Expect, t.Body = balancer.HealthHTTP, path, "200", "the end"
	return t
}

// serveHTTP has the holder answer by HTTP, and tells how each connection ended: by nil if
// that was by a FIN.
func (p *pair) serveHTTP() (ends chan error) {
	p.t.Helper()
	ends = make(chan error, 1000)
	must(p.t, p.holder.ServeTCP(fmt.Sprint(":", httpPort), func(c net.Conn) {
		r := bufio.NewReader(c)
		request, err := http.ReadRequest(r)
		if err != nil {
			ends <- err
			return
		}
		switch body := strings.Repeat("more\n", 30_000) + "the end"; request.URL.Path {
		case "/ready":
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		case "/silent":
		default:
			fmt.Fprintf(c, "HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s", len(request.URL.Path), request.URL.Path)
		}
		if request.URL.Path == "/last" { // closes first
			_ = c.(*net.TCPConn).CloseWrite()
		}
		_, err = io.Copy(io.Discard, r)
		ends <- err
	}))
	return ends
}

// A page of many segments comes whole, by each kind of tunnel, and the connection ends in the
// ordinary way.
func TestHTTPThroughATunnel(t *testing.T) {
	p := newPair(t)
	p.hold(p.holder)
	must(t, p.holder.Decapsulate())
	ends := p.serveHTTP()
	for _, a := range []netip.Addr{service4, service6} { // what the kernel said of its own would arrive
		by := netip.MustParseAddr(routerAddr)
		if a.Is6() {
			by = netip.MustParseAddr(routerAddr6)
		}
		must(t, p.asker.Route(netip.PrefixFrom(a, a.BitLen()), by, "eth0"))
	}
	eachTunnel(func(name string, e packet.Encapsulation, inner4, outer4 bool, own netip.Addr) {
		p.hop.Own = own
		long := "/" + strings.Repeat("x", 5000) // of several segments
		for path, want := range map[string]string{"/ready": "", "/no": "status 503, want 200", "/last": "status 503", long: "status 503"} {
			r := p.askAndHangUp(inTunnelByHTTP(e, inner4, outer4, path))
			if (r.Err == nil) != (want == "") || r.Err != nil && !strings.Contains(r.Err.Error(), want) || r.Local {
				t.Errorf("%s, %.9s: %v", name, path, r.Err)
			}
			if err := ended(t, ends); err != nil {
				t.Errorf("%s, %.9s: the server has seen %v", name, path, err)
			}
		}
		closed := inTunnelByHTTP(e, inner4, outer4, "/")
		closed.Address = netip.AddrPortFrom(closed.Address.Addr(), closedPort)
		if r := p.askAndHangUp(closed); !errors.Is(r.Err, syscall.ECONNREFUSED) {
			t.Errorf("%s, nobody listens: %v", name, r.Err)
		}
	})
}

// Who does not answer in time is not well, and told apart: who takes no packets from tunnels,
// and whose server is silent.
func TestSilenceThroughATunnel(t *testing.T) {
	p := newPair(t)
	p.hold(p.holder)
	p.hop.Own = netip.MustParseAddr(askerAddr)
	target := inTunnelByHTTP(packet.EncapIP, true, true, "/silent")
	target.Timeout = hasty
	if r := p.askAndHangUp(target); r.Local || r.Err == nil || !strings.Contains(r.Err.Error(), "take packets out of tunnels") {
		t.Errorf("no end of a tunnel: %v", r.Err)
	}
	must(t, p.holder.Decapsulate())
	ends := p.serveHTTP()
	target.Timeout = time.Second
	if r := p.askAndHangUp(target); r.Local || r.Err == nil || !strings.Contains(r.Err.Error(), "no answer within") || strings.Contains(r.Err.Error(), "tunnels") {
		t.Errorf("a silent server: %v", r.Err)
	}
	if err := ended(t, ends); err != nil {
		t.Errorf("the server has seen %v", err)
	}
	p.hop.Own = netip.Addr{}
	if r := p.askAndHangUp(target); !r.Local {
		t.Errorf("no own address: %v", r.Err)
	}
}

// ended returns how the next connection ended.
func ended(t *testing.T, ends chan error) error {
	t.Helper()
	select {
	case err := <-ends:
		return err
	case <-time.After(patient):
		t.Fatal("the server has seen no end")
		return nil
	}
}

// askAndHangUp asks once, and parts from the server.
func (p *pair) askAndHangUp(t Target) (r Result) {
	p.t.Helper()
	must(p.t, p.asker.Do(func() error {
		var c *call
		if r, c = p.prober.probe(p.t.Context(), t); c != nil {
			c.hangUp()
		}
		return nil
	}))
	return r
}

// TestStreamTakes: what a server sends comes in order and once, whatever way its segments take.
func TestStreamTakes(t *testing.T) {
	first := ^uint32(0) - 3 // so that the numbers wrap
	data := []byte("hello, world")
	cut := func(from, to int, flags uint8) received {
		return received{segment{seq: first + uint32(from), ack: 1000, flags: flagACK | flags}, data[from:to]}
	}
	for name, list := range map[string][]received{
		"in order":    {cut(0, 5, 0), cut(5, 12, flagFIN)},
		"twice":       {cut(0, 5, 0), cut(0, 5, 0), cut(5, 12, flagFIN), cut(5, 12, flagFIN)},
		"overlapping": {cut(0, 7, 0), cut(3, 12, flagFIN)},
		"early":       {cut(5, 12, flagFIN), cut(0, 5, 0), cut(5, 12, flagFIN)},
		"FIN alone":   {cut(0, 12, 0), cut(12, 12, flagFIN)},
		"forged":      {cut(0, 5, 0), {segment{seq: first + 50, flags: flagRST | flagACK}, nil}, {segment{seq: first - 90, ack: 5, flags: flagACK}, data}, cut(5, 12, flagFIN)},
	} {
		s := &stream{next: first, sent: 900, unsure: make([]byte, 100), prober: &Prober{link: noLink{}}, at: &opening{}}
		for i := range list {
			s.take(&list[i])
		}
		if string(s.ready) != string(data) || !s.ended || s.failed != nil || len(s.unsure) != 0 || s.sent != 1000 {
			t.Errorf("%s: %q, %+v", name, s.ready, s)
		}
	}
	s := &stream{next: first, at: &opening{}}
	s.take(&received{segment{seq: first, flags: flagRST | flagACK}, nil})
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	if _, err := s.Write(make([]byte, maxSent)); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a request without end: %v", err)
	}
}

// noLink is one by which nothing can be sent.
type noLink struct{}

func (noLink) Hop(netip.Addr, bool) (Hop, error) { return Hop{}, syscall.EHOSTUNREACH }
func (noLink) Taken(netip.AddrPort) bool         { return false }

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// checked serves what the types of health checks ask for, on one backend, until it is broken.
type checked struct {
	broken atomic.Bool
	asked  sync.Map // addresses that have asked by HTTPS
	udp    net.PacketConn
}

func (w *world) serveChecked(h *lab.Host, cert tls.Certificate) *checked {
	w.t.Helper()
	c := &checked{}
	err := h.ServeTCP(":8443", func(bare net.Conn) {
		a, _ := netip.ParseAddrPort(bare.RemoteAddr().String())
		c.asked.Store(a.Addr(), nil)
		inside := tls.Server(bare, &tls.Config{Certificates: []tls.Certificate{cert}})
		if _, err := http.ReadRequest(bufio.NewReader(inside)); err != nil {
			return
		}
		status := "200 OK"
		if c.broken.Load() {
			status = "503 Busy"
		}
		fmt.Fprintf(inside, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
		_, _ = inside.Read(make([]byte, 1)) // until it hangs up
	})
	if err != nil {
		w.t.Fatal(err)
	}
	listen := func(address string, answer func(asked []byte) []byte) net.PacketConn {
		conn, err := h.ListenPacket("udp", address)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { conn.Close() })
		go func() {
			b := make([]byte, 1500)
			for {
				n, from, err := conn.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(answer(b[:n]), from)
			}
		}()
		return conn
	}
	listen(":53", func(asked []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(asked) != nil {
			return nil
		}
		if m.Response = true; c.broken.Load() {
			m.RCode = dnsmessage.RCodeRefused
		}
		answer, _ := m.Pack()
		return answer
	})
	c.udp = listen(":9000", func(asked []byte) []byte { return append([]byte{0, 0xff}, asked...) })
	return c
}

// Each type of check takes a backend in, and out with the reason; checks come from the address
// that is asked for. What each said last is shown.
func TestFieldHealthTypes(t *testing.T) {
	w := newWorld(t)
	ca := testutil.NewAuthority(t)
	pair, key := ca.Sign("web.example.com", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour), lab.BackendAddr(0).AsSlice())
	cert, err := tls.X509KeyPair(pair, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(path, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	source := netip.MustParseAddr("10.0.0.3")
	if err := w.lab.Balancer.AddAddrs(lab.Interface, netip.PrefixFrom(source, 24)); err != nil {
		t.Fatal(err)
	}
	b0 := w.serveChecked(w.lab.Backends[0], cert)
	one := func(name string, port, backend int, protocol, health string) string {
		keys := fmt.Sprintf("protocol: %s, health: {%s, %s},", protocol, quickly, health)
		return entry(name, natVIP4, port, keys, fmt.Sprintf("{name: b0, address: %v, port: %d}", lab.BackendAddr(0), backend))
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml",
		one("https", 443, 8443, "tcp", fmt.Sprintf("type: https, ca: %s, source: %v", path, source)),
		one("dns", 53, 53, "udp", "type: dns, name: example.com"),
		one("udp", 9000, 9000, "udp", "type: udp, send: hex:00ff70, expect: base64:AP9w"),
		one("open", 9001, 9000, "udp", "type: udp"),
		one("echo", 8080, 8080, "tcp", "type: icmp"),
		one("name", 444, 8443, "tcp", fmt.Sprintf("type: https, ca: %s, host: other.example.com", path)),
		one("foreign", 445, 8443, "tcp", "type: tcp, source: 10.0.0.99"),
	))
	p.awaitLines(1, `backend is down.*"service": "name".*the certificate is not of other.example.com, but of`)
	p.awaitLines(1, "10.0.0.99 of health.source is no address of this machine")
	up := []string{"https", "dns", "udp", "open", "echo"}
	p.await("serve", func(s api.Status) bool { return s.State == api.StateServing })
	served := time.Now() // from now on answers come by way of the program
	p.await("know all", func(api.Status) bool {
		return !slices.ContainsFunc(up, func(s string) bool {
			b := p.backend(s, "b0")
			return b.State != "up" || !b.Checks[0].At.After(served)
		})
	})
	if _, ok := b0.asked.Load(source); !ok {
		t.Errorf("nobody has asked from %v", source)
	}
	for _, name := range up {
		k := p.backend(name, "b0").Checks
		if len(k) != 1 || k[0].Result != "ok" || k[0].At == nil || name == "https" && k[0].Source != source.String() {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if s := p.status(); warned(s, "check-source") == "" || !strings.Contains(warned(s, "probes"), "ask from 10.0.0.99") {
		t.Errorf("no warning of a source that is none: %+v", s.Warnings)
	}

	b0.broken.Store(true)
	b0.udp.Close()
	if err := w.lab.Backends[0].Sysctl("net/ipv4/icmp_echo_ignore_all", "1"); err != nil {
		t.Fatal(err)
	}
	for name, why := range map[string]string{
		"https": "status 503, want 200-399", "dns": "rcode refused, want noerror", "udp": "connection refused", "open": "connection refused", "echo": "no answer within 1s",
	} {
		p.awaitLines(1, fmt.Sprintf(`backend is down.*"service": %q.*%s`, name, why))
	}
	code, out, _ := cli("backends", "-v", "--service", "dns", "--socket", p.socket)
	if code != exitDone || !strings.Contains(out, "failed") || !strings.Contains(out, "rcode refused") {
		t.Errorf("backends -v: exit code %d\n%s", code, out)
	}
	p.stop()
}

// A backend that refuses its clients is down long before its next check; one that only seems to
// leave some waiting is asked, and stays.
func TestFieldSuspicion(t *testing.T) {
	w := newWorld(t)
	const seldom = "health: {type: tcp, interval: 1h, timeout: 2s, fall: 3},"
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", seldom), entry("alone", natVIP4, 81, seldom, fmt.Sprintf("{name: b2, address: %v, port: %d}", lab.BackendAddr(2), port))))
	w.web[1].Kill()
	for end := time.Now().Add(patience); p.lines(`backend is down.*"backend": "b1".*connection refused, asked at once because it refused`) == 0; {
		if time.Now().After(end) {
			t.Fatalf("b1 is not down by what its clients met:\n%s", p.output())
		}
		_, _ = w.get(natVIP4)
	}
	if b := p.backend("web", "b1"); b.Suspicions == 0 || p.backend("web", "b0").State != "up" {
		t.Errorf("%+v", b)
	}

	// b2 has no way back to the client, but one to the balancer.
	client := netip.PrefixFrom(lab.ClientAddr(0), 32)
	away := &netlink.Route{Dst: &net.IPNet{IP: client.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}, Type: unix.RTN_BLACKHOLE}
	if err := w.lab.Backends[2].Netlink().RouteAdd(away); err != nil {
		t.Fatal(err)
	}
	asked := *p.backend("alone", "b2").Checks[0].At
	var clients sync.WaitGroup
	for range 4 { // each knocks a second time after a second
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			if c, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(natVIP4, 81).String()); err == nil {
				c.Close()
				t.Error("somebody got an answer")
			}
		})
	}
	clients.Wait()
	p.await("have asked b2", func(api.Status) bool {
		b := p.backend("alone", "b2")
		return b.Suspicions > 0 && b.Checks[0].At.After(asked) && b.Checks[0].Result == "ok"
	})
	if b := p.backend("alone", "b2"); b.State != "up" || p.lines(`backend is down.*"service": "alone"`) != 0 {
		t.Errorf("one that answers its check is %s", b.State)
	}
	p.stop()
}

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestHTTPServerDiesAndReturns(t *testing.T) {
	l := newLab(t, Options{})
	s, err := l.Backends[0].HTTPServer(":8080", "one")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s", netip.AddrPortFrom(BackendAddr(0), 8080))
	c := l.Balancer.HTTPClient(30*time.Second, true)
	if got, err := Get(t.Context(), c, url+"/"); got != "one" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	s.Kill()
	if _, err := Get(t.Context(), c, url+"/"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dead server: %v, want refused", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	const n = 1 << 20
	got, err := Get(t.Context(), c, fmt.Sprint(url, "/big?n=", n))
	want, _ := io.ReadAll(io.LimitReader(&Stream{}, n))
	if err != nil || got != string(want) {
		t.Errorf("/big: %d bytes, %v", len(got), err)
	}
	if bytes.Equal(want[:4096], want[4096:8192]) {
		t.Error("the stream repeats itself: a lost block would not show")
	}
}

// A slow server answers late, and what waits for it ends with it.
func TestHTTPServerDelays(t *testing.T) {
	l := newLab(t, Options{})
	s, err := l.Backends[0].HTTPServer(":8080", "one")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s/", netip.AddrPortFrom(BackendAddr(0), 8080))
	c := l.Balancer.HTTPClient(0, false)
	const delay = 50 * time.Millisecond
	s.SetDelay(delay)
	start := time.Now()
	if got, err := Get(t.Context(), c, url); got != "one" || err != nil || time.Since(start) < delay {
		t.Errorf("%q after %v, %v; want it after %v", got, time.Since(start), err, delay)
	}
	s.SetDelay(time.Hour)
	hung := make(chan error, 1)
	asked := make(chan struct{})
	go func() {
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(asked) }}
		_, err := Get(httptrace.WithClientTrace(t.Context(), trace), c, url)
		hung <- err
	}()
	<-asked
	s.Kill()
	if err := <-hung; err == nil {
		t.Error("an answer from a server that was killed while it waited")
	}
	s.SetDelay(0)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := Get(t.Context(), c, url); got != "one" || err != nil {
		t.Errorf("without a delay: %q, %v", got, err)
	}
}

// Connections are served beside each other, and what is open when the host is closed ends
// with it.
func TestServeTCP(t *testing.T) {
	l := newLab(t, Options{})
	h := l.Backends[0]
	ended := make(chan error, 3)
	err := h.ServeTCP(":9000", func(c net.Conn) {
		_, err := io.Copy(c, c)
		ended <- err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ServeTCP(":9000", nil); err == nil {
		t.Error("served at an address that is taken")
	}
	var open []net.Conn
	for range 3 {
		c, err := l.Balancer.Dial(t.Context(), "tcp", netip.AddrPortFrom(BackendAddr(0), 9000).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	b := make([]byte, len("hello"))
	for _, c := range open {
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
			t.Errorf("%q came back: %v", b, err)
		}
	}
	open[0].Close()
	if err := <-ended; err != nil {
		t.Errorf("the server of a closed connection saw %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if n := len(ended); n != 2 {
		t.Errorf("%d of 2 have been awaited", n)
	}
}

func TestUDPEcho(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.Backends[0].UDPEcho(":53", "one"); err != nil {
		t.Fatal(err)
	}
	c, err := l.Balancer.Dial(context.Background(), "udp", netip.AddrPortFrom(BackendAddr6(0), 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "hello")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 64)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "one hello" {
		t.Errorf("%q %v", b[:n], err)
	}
}

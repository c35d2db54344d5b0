package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// answerTime bounds one answer where many are asked for.
const answerTime = 10 * time.Second

// listenDatagrams has each backend echo datagrams, with its name, on its own addresses and
// those of dsr services. To answer from the one that was asked takes a socket for each.
func (w *world) listenDatagrams() {
	w.t.Helper()
	for i, h := range w.lab.Backends {
		for _, a := range []netip.Addr{lab.BackendAddr(i), lab.BackendAddr6(i), dsrVIP4, dsrVIP6} {
			if err := h.UDPEcho(netip.AddrPortFrom(a, port).String(), fmt.Sprint("b", i)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// asker is a datagram socket that has somebody to ask.
type asker interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}

// unconnected is an asker whose socket is only bound, as resolvers have them.
type unconnected struct {
	net.PacketConn
	to netip.AddrPort
}

func (u unconnected) Write(b []byte) (int, error) {
	return u.WriteTo(b, net.UDPAddrFromAddrPort(u.to))
}

func (u unconnected) Read(b []byte) (int, error) {
	n, _, err := u.ReadFrom(b)
	return n, err
}

// question asks a UDP echo, and returns the name of who answers.
func question(c asker, what string) (name string, err error) {
	if _, err := io.WriteString(c, what); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return "", err
	}
	b := make([]byte, len(what)+100)
	n, err := c.Read(b)
	if err != nil {
		return "", err
	}
	name, echo, _ := strings.Cut(string(b[:n]), " ")
	if echo != what {
		err = fmt.Errorf("%s answered %.20q, of %d bytes, to %.20q, of %d", name, echo, len(echo), what, len(what))
	}
	return name, err
}

// ask is a question that must be answered.
func ask(t *testing.T, c asker, what string) (name string) {
	t.Helper()
	name, err := question(c, what)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// askUDP asks a service by datagrams from one port; one backend must answer all of them.
func (w *world) askUDP(vip netip.Addr) (name string) {
	w.t.Helper()
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		who := ask(w.t, c, fmt.Sprint(i))
		if i > 0 && who != name {
			w.t.Fatalf("%v: datagram %d is answered by %s, the others were by %s", vip, i, who, name)
		}
		name = who
	}
	return name
}

// askOnce asks a web server or a UDP echo for its name, on a connection of its own.
func (w *world) askOnce(h *lab.Host, network string, to netip.AddrPort) (name string, err error) {
	if network == "tcp" {
		return lab.Get(w.t.Context(), h.HTTPClient(answerTime, false), "http://"+to.String()+"/")
	}
	c, err := h.Dial(w.t.Context(), network, to.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	return question(c, "?")
}

// askUnconnected is askOnce by UDP with a socket that is only bound, and a question of
// this size.
func (w *world) askUnconnected(h *lab.Host, from netip.Addr, to netip.AddrPort, size int) (name string, err error) {
	c, err := h.ListenPacket("udp", netip.AddrPortFrom(from, 0).String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	return question(unconnected{c, to}, strings.Repeat("x", size))
}

// visit is a connection of client 0 to a web server, which stays. An http.Client has another one
// in its place, without a word, when it breaks, or when the machine was busy for 50 ms
// (maxWriteWaitBeforeConnReuse of net/http/transport.go).
type visit struct {
	net.Conn
	answers *bufio.Reader
}

func (w *world) visit(vip netip.Addr) (*visit, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(vip, port).String())
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	return &visit{c, bufio.NewReader(c)}, nil
}

// ask returns the name of who answers.
func (v *visit) ask() (name string, err error) {
	if err := v.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(v, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(v.answers, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(b), err
}

// dialStream opens a connection to a stream's server, and reads the server's name.
func (w *world) dialStream(h *lab.Host, to netip.AddrPort) (c net.Conn, name string, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if c, err = h.Dial(ctx, "tcp", to.String()); err != nil {
		return nil, "", err
	}
	if err = c.SetReadDeadline(time.Now().Add(answerTime)); err == nil {
		_, err = fmt.Fscanln(c, &name)
	}
	if err != nil {
		c.Close()
		return nil, "", fmt.Errorf("read who is at %v: %w", to, err)
	}
	return c, name, nil
}

// converse has a stream's server echo something.
func converse(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len("hello")))
	return err
}

// mustReachAll holds that so many connections, and datagrams from 30 ports, are answered by
// all three backends.
func (w *world) mustReachAll(vip netip.Addr, connections int) {
	w.t.Helper()
	if by := w.connections(w.t, vip, connections, 50); len(by) != 3 {
		w.t.Errorf("%v: answered by %v, want all three", vip, by)
	}
	by := map[string]int{}
	for range 30 {
		by[w.askUDP(vip)]++
	}
	if len(by) != 3 {
		w.t.Errorf("%v by UDP: answered by %v, want all three", vip, by)
	}
}

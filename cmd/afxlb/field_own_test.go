package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// C16: a service has a high range, or any port, of an address of the balancer's own. The
// balancer's probes, connections and queries, from just that address and such ports,
// stay its own, and what is said about them; the service works all the same.
func TestFieldRangeOnAnOwnAddress(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	const inside, closed = 40000, 7
	for i, h := range w.lab.Backends {
		if _, err := h.HTTPServer(fmt.Sprint(":", inside), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{53, inside} {
			if err := h.UDPEcho(fmt.Sprint(":", at), fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const check, none = "health: {type: tcp, port: 8080, " + quickly + "},", "health: {type: none},"
	lb, client := w.lab.Balancer, w.lab.Clients[0]
	for _, ports := range []string{"30000-65000", "any"} {
		// That all are up, and stay so, is the first half of it.
		p := w.serve(w.writeConfig("afxlb.yaml", portsService("tcp4", own4, "tcp", ports, check), portsService("tcp6", own6, "tcp", ports, check),
			portsService("udp4", own4, "udp", ports, none), portsService("udp6", own6, "udp", ports, none)))
		for own, backend := range map[netip.Addr]netip.Addr{own4: lab.BackendAddr(0), own6: lab.BackendAddr6(0)} {
			at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(backend, port) }
			for range 10 {
				c, _, err := w.dialStream(lb, at(streamPort))
				if err == nil {
					err = converse(c)
					c.Close()
				}
				if err != nil {
					t.Errorf("%s: a connection of the balancer's to %s: %v", ports, at(streamPort), err)
				}
				if name, err := w.askOnce(lb, "udp", at(53)); err != nil || name != "b0" {
					t.Errorf("%s: a connected query to %s: %q, %v", ports, at(53), name, err)
				}
				for _, size := range []int{50, 3000} { // of the answer: it comes in fragments
					if name, err := w.askUnconnected(lb, own, at(53), size); err != nil || name != "b0" {
						t.Errorf("%s: an unconnected query to %s, of %d bytes: %q, %v", ports, at(53), size, name, err)
					}
				}
			}
			for _, network := range []string{"tcp", "udp"} { // a reset, and an ICMP error
				if _, err := w.askOnce(lb, network, at(closed)); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s: a closed port of %s by %s: %v", ports, backend, network, err)
				}
			}
			if n := p.counter("steering", "steered-service") + p.counter("steering", "steered-icmp"); n != 0 && own == own4 {
				t.Errorf("%s: %d packets to the balancer itself were taken", ports, n)
			}
		}
		taken := p.counter("steering", "steered-service")
		for _, own := range []netip.Addr{own4, own6} {
			for _, network := range []string{"tcp", "udp"} {
				if name, err := w.askOnce(client, network, netip.AddrPortFrom(own, inside)); err != nil || name == "" {
					t.Errorf("%s: %s of the service at %s: %q, %v", ports, network, own, name, err)
				}
			}
		}
		if p.counter("steering", "steered-service") == taken {
			t.Errorf("%s: the service's packets were not taken", ports)
		}
		if n := p.lines("backend is down"); n != 0 {
			t.Errorf("%s: %d times a backend was called down", ports, n)
		}
		p.stop()
	}
}

// C16, second part: a service comes to have the port of a server of the balancer's own.
// Who is connected stays so; who connects afterwards is the service's.
func TestFieldOwnListenerInARange(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	w.listenStream(w.lab.Balancer, "lb")
	owns := []netip.Addr{own4, own6}
	var before []*talk
	for _, own := range owns {
		c := w.openTalk(own)
		if c.server != "lb" {
			t.Fatalf("%s: %s answers before the start", own, c.server)
		}
		before = append(before, c)
	}
	const health = "health: {type: tcp, port: 8080, " + quickly + "},"
	p := w.serve(w.writeConfig("afxlb.yaml", portsService("tcp4", own4, "tcp", "9000-9100", health), portsService("tcp6", own6, "tcp", "any", health)))
	for i, own := range owns {
		if c := w.openTalk(own); c.server == "lb" || converse(c) != nil {
			t.Errorf("%s: %s answers, not a backend", own, c.server)
		}
		if err := converse(before[i]); err != nil {
			t.Errorf("%s: the balancer's own connection of before: %v", own, err)
		}
	}
	p.stop()
}

// C16, third part: a server of the balancer's own has a port of a service, or comes to
// have it. That is told at the start and at a reload, in status and before a start.
func TestFieldOwnListenerIsTold(t *testing.T) {
	w := newWorld(t)
	listen := func(network, at string) {
		t.Helper()
		err := w.lab.Balancer.Do(func() error {
			var c io.Closer
			var err error
			if strings.HasPrefix(network, "tcp") {
				c, err = net.Listen(network, at)
			} else {
				c, err = net.ListenPacket(network, at)
			}
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	listen("tcp", ":22")      // every address
	listen("tcp", "[::1]:23") // not the services'
	listen("tcp4", "10.0.0.1:9443")
	listen("udp", "10.0.0.1:123")
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	me := " (" + strings.TrimSpace(string(comm)) + ")"
	const none = "health: {type: none},"
	services := []string{
		portsService("all4", own4, "tcp", "any", none), portsService("all6", own6, "tcp", "any", none),
		portsService("ntp", own4, "udp", "123", none), portsService("ntps", own4, "udp", "100-199", none),
		portsService("web", own4, "tcp", "80", none), portsService("elsewhere", natVIP4, "tcp", "any", none),
	}
	want := []string{
		"all4 at 10.0.0.1:any/tcp, this machine's own address, has ports of this machine's own servers: 22" + me + ", 9443" + me + "; who comes by",
		"all6 at 2001:db8:10::1:any/tcp, this machine's own address, has ports of this machine's own servers: 22" + me + "; who comes by",
		"ntp at 10.0.0.1:123/udp, this machine's own address, has ports of this machine's own servers: 123" + me + "; who comes by",
		"ntps at 10.0.0.1:100-199/udp, this machine's own address, has ports of this machine's own servers: 123" + me + "; what is sent",
	}
	config := w.writeConfig("afxlb.yaml", services...)
	var code int
	var stderr string
	_ = w.lab.Balancer.Do(func() error { code, _, stderr = cli("check", "--here", config); return nil })
	if n := strings.Count(stderr, "warning: "); code != exitDone || n != len(want) {
		t.Errorf("check --here: exit code %d, %d warnings, want %d:\n%s", code, n, len(want), stderr)
	}
	p := w.serve(config)
	for _, text := range want {
		if !strings.Contains(stderr, text) {
			t.Errorf("check --here has not %q:\n%s", text, stderr)
		}
		p.awaitLines(1, "WARN.*"+regexp.QuoteMeta(text))
	}
	told := func(s api.Status) (texts []string) {
		for _, w := range s.Warnings {
			if w.Code == "listener" {
				texts = append(texts, w.Text)
			}
		}
		return texts
	}
	s := p.await("warn", func(s api.Status) bool { return len(told(s)) == len(want) })
	for i, text := range told(s) {
		if !strings.HasPrefix(text, want[i]) {
			t.Errorf("status has %q, want %q", text, want[i])
		}
	}
	listen("tcp4", "10.0.0.1:80")
	p.reload()
	p.awaitLines(1, `WARN.*web at 10.0.0.1:80/tcp`)
	p.await("warn of the new one", func(s api.Status) bool { return len(told(s)) == len(want)+1 })
	if n := p.awaitLines(len(want)+2, "WARN.*has ports of this machine's own servers"); n != len(want)+2 {
		t.Errorf("told %d times, want once for each, and for one that has changed", n)
	}
	p.stop()
}

package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A reload changes a service's mode while somebody sends datagrams to it from one port all the
// time, as relays and resolvers do: the stream goes on in the new mode. A connection whose
// answers would not come by the balancer any more is ended for its client to see.
func TestFieldModeChanges(t *testing.T) {
	for _, vip := range []netip.Addr{dsrVIP4, dsrVIP6} {
		t.Run(vip.String(), func(t *testing.T) {
			w := newWorld(t)
			w.listenDatagrams()
			w.listenStreams()
			config := func(mode string) string {
				keys := fmt.Sprintf("mode: %s, ", mode)
				if mode == "fullnat" {
					keys = snatKeys(ownSource(vip))
				}
				keys += "health: {type: none},"
				return w.writeConfig("afxlb.yaml", entry("relay", vip, port, "protocol: udp, "+keys, backendsOf(vip)...),
					entry("stream", vip, streamPort, keys, backendsOf(vip)...))
			}
			p := w.serve(config("nat"))
			c, err := w.lab.Clients[0].Dial(t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ask(t, c, "first")
			connection := w.openTalk(vip)
			for i, mode := range []string{"dsr", "fullnat", "dsr", "nat"} {
				config(mode)
				p.reload()
				awaitAnswer(t, c, fmt.Sprint(mode, i))
				if i == 0 {
					mustEnd(t, connection)
				}
			}
			p.checkSums()
			p.stop()
		})
	}
}

// awaitAnswer asks again and again until an answer comes.
func awaitAnswer(t *testing.T, c net.Conn, what string) {
	t.Helper()
	b := make([]byte, 100)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write([]byte(what)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * poll)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(b); err == nil && strings.HasSuffix(string(b[:n]), " "+what) {
			return
		}
	}
	t.Fatalf("nobody answers %q", what)
}

// mustEnd talks on a connection until it is reset.
func mustEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("still there?\n")); err != nil {
		return
	}
	b := make([]byte, 100)
	if n, err := c.Read(b); err == nil {
		t.Errorf("the connection goes on: %q", b[:n])
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection is neither answered nor ended")
	}
}

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
)

// C21: a client has said all that it has to say, and the server thinks for longer than a
// connection that is over is remembered. Its answer arrives, whatever a stranger sends
// meanwhile.
func TestFieldHalfClosed(t *testing.T) {
	const answer = 200_000
	w := newWorld(t)
	thought := make(chan struct{})
	for i, h := range w.lab.Backends {
		err := h.ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
			fmt.Fprintf(c, "b%d\n", i)
			if n, err := io.Copy(io.Discard, c); err != nil || n == 0 {
				return // a check, or a connection that was reset
			}
			select {
			case <-thought:
				_, _ = io.CopyN(c, new(lab.Stream), answer) // the client tells
			case <-t.Context().Done():
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.lab.AddSecond(1); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), streamService("dsr6", dsrVIP6, "dsr", "health: {type: none},"), quickClosing))
	c := w.openCable(w.lab.Second)
	var talks []*talk
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		for _, attack := range [][]segment{nil, {{flags: packet.TCPRst, seq: 12345}}, {{flags: packet.TCPSyn, seq: 777}}} {
			for range 3 {
				one := w.openTalk(vip)
				if _, err := one.Write([]byte("a question")); err != nil {
					t.Fatal(err)
				}
				if err := one.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				talks = append(talks, one)
				for _, s := range attack {
					w.forge(c, one, s)
				}
			}
		}
	}
	w.silence(p)
	// Those without a stranger's SYN at the least.
	p.await("see the clients' FINs", func(api.Status) bool { return p.states()["dsr4 tcp-fin-wait"] >= 6 })
	close(thought)
	for i, one := range talks {
		if err := one.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, one); err != nil || n != answer {
			t.Errorf("%v: connection %d: %d of %d bytes arrived: %v", one.vip, i, n, answer, err)
		}
	}
	p.stop()
}

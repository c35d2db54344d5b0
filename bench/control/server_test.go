package control

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/internal/lab"
)

// TestServer closes what it accepts, first, and keeps on.
func TestServer(t *testing.T) {
	s := scenery(t)
	for i := range 3 * tiny.Addresses {
		a := netip.AddrPortFrom(lab.BackendAddr(i%tiny.Addresses), backendPort)
		c, err := s.lab.Balancer.Dial(t.Context(), "tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: %d bytes, %v; want a connection that is closed", a, n, err)
		}
		c.Close()
	}
	if err := s.deserted(); err != nil {
		t.Error(err)
	}
}

func TestServerErrors(t *testing.T) {
	s := scenery(t)
	nobodys := Backends{Listen: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:80")}, CPUs: s.place.rest}
	task, err := json.Marshal(nobodys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.place.spread() })
	var out bytes.Buffer
	err = s.backends().Do(func() error { return ServeBackends(task, child.NewOut(&out)) })
	if err == nil || !strings.Contains(err.Error(), "203.0.113.1:80") || out.Len() > 0 {
		t.Errorf("on another's address: %v, says %q", err, &out)
	}
	if err := ServeBackends(json.RawMessage("{"), child.NewOut(&out)); err == nil {
		t.Error("half a task was done")
	}
	if err := accept(-1); err == nil {
		t.Error("a connection was accepted from nowhere")
	}
}

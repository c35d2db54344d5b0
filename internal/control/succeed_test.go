package control

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/internal/egress"
)

// An address that comes may have been another machine's until now; one that goes was not.
func TestSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Local = []netip.Addr{addr("10.0.0.1")}
		r := start(t, w, webSpec())
		after(time.Second)
		for _, c := range []struct {
			local []netip.Addr
			want  int64
		}{
			{[]netip.Addr{addr("10.0.0.1")}, 0},
			{[]netip.Addr{addr("10.0.0.1"), addr("203.0.113.254")}, 1},
			{[]netip.Addr{addr("203.0.113.254")}, 1},
			{[]netip.Addr{addr("10.0.0.1"), addr("203.0.113.254")}, 2},
			{nil, 2},
		} {
			w.change(func(s *egress.Snapshot) { s.Local = c.local })
			r.Notify()
			after(time.Second)
			if got := r.kernel.succeeded.Load(); got != c.want {
				t.Errorf("with %v the engine has been told %d times, want %d", c.local, got, c.want)
			}
		}
	})
}

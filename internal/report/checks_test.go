package report

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

func TestChecks(t *testing.T) {
	at, next := time.Unix(1000, 0), time.Unix(1005, 0)
	echo := control.Probe{Type: balancer.HealthICMP, Address: netip.MustParseAddrPort("10.0.0.1:0"), Source: netip.MustParseAddr("10.0.0.9")}
	dns := control.Probe{Type: balancer.HealthDNS, Address: netip.MustParseAddrPort("[2001:db8::1]:53")}
	asked := func(p, answered control.Probe) control.Probe {
		answered.Type, answered.Address, answered.Source = p.Type, p.Address, p.Source
		return answered
	}
	got := checks([]control.Probe{
		echo,
		asked(echo, control.Probe{Start: at, Took: time.Second, Next: next}),
		asked(dns, control.Probe{Start: at, Err: errors.New("rcode refused")}),
		asked(dns, control.Probe{Start: at, Err: errors.New("no way"), Local: true}),
	})
	want := []api.Check{
		{Type: "icmp", Address: "10.0.0.1", Source: "10.0.0.9", Result: "none"},
		{Type: "icmp", Address: "10.0.0.1", Source: "10.0.0.9", Result: "ok", Took: time.Second, At: &at, Next: &next},
		{Type: "dns", Address: "[2001:db8::1]:53", Result: "failed", Error: "rcode refused", At: &at},
		{Type: "dns", Address: "[2001:db8::1]:53", Result: "local", Error: "no way", At: &at},
	}
	for i := range want {
		g, w := got[i], want[i]
		if (g.At == nil) != (w.At == nil) || g.At != nil && !g.At.Equal(*w.At) || (g.Next == nil) != (w.Next == nil) || g.Next != nil && !g.Next.Equal(*w.Next) {
			t.Errorf("%d: at %v, next %v", i, g.At, g.Next)
		}
		if g.At, g.Next, w.At, w.Next = nil, nil, nil, nil; g != w {
			t.Errorf("%d: %+v, want %+v", i, g, w)
		}
	}
}

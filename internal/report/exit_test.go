package report

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

func TestExitOf(t *testing.T) {
	port := func(i int) string { return []string{"eth0", "eth1"}[i] }
	for want, link := range map[string]balancer.Link{
		"eth0":         {},
		"eth1":         {Port: 1, MTU: 1400},
		"eth1.100":     {Port: 1, Tags: packet.Tags{packet.NewTag(100)}},
		"eth0.100.200": {Tags: packet.Tags{0x88a8<<16 | 100, packet.NewTag(200)}},
	} {
		if got := exitOf(link, port); got != want {
			t.Errorf("%+v is %q, want %q", link, got, want)
		}
	}
}

package report

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

func TestExitOf(t *testing.T) {
	v := &control.View{
		Table: &balancer.Table{Links: balancer.NewLinks()},
		Ports: []egress.Port{{Name: "eth0"}, {Name: "eth1"}},
	}
	for want, link := range map[string]balancer.Link{
		"eth0":         {},
		"eth1":         {Port: 1, MTU: 1400},
		"eth1.100":     {Port: 1, Tags: packet.Tags{packet.NewTag(100)}},
		"eth0.100.200": {Tags: packet.Tags{0x88a8<<16 | 100, packet.NewTag(200)}},
		"port 7":       {Port: 7}, // nobody has looked yet
	} {
		id, ok := v.Table.Links.ID(link)
		if got := exitOf(v, id.Word(1)); !ok || got != want {
			t.Errorf("%+v is %q, want %q", link, got, want)
		}
	}
}

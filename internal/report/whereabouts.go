package report

import (
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// place adds where a backend is.
func place(out *api.Backend, k *balancer.BackendKey) {
	out.Address, out.Port = k.Address.String(), "same"
	if k.Port != 0 {
		out.Port = strconv.Itoa(int(k.Port))
	}
}

// hops says where frames to backends go. Many backends are behind one hop.
type hops struct {
	view  *control.View
	known map[uint64]hop // by its word
}

// hop is as of [api.Backend].
type hop struct{ mac, egress string }

// of returns the hop to the backend with the ID; nothing: it is not known.
func (h *hops) of(id uint32) hop {
	t := h.view.Table
	b := &t.Backends[id]
	if b.Flags&balancer.HasMAC == 0 {
		return hop{}
	}
	if known, ok := h.known[b.Next]; ok {
		return known
	}
	var macs, exits []string
	for _, next := range t.Ways(b.Next) {
		macs, exits = append(macs, packet.WordMAC(next).String()), append(exits, exitOf(t.Links.At(balancer.HopLink(next)), h.view.PortName))
	}
	found := hop{strings.Join(macs, ","), strings.Join(exits, ",")}
	h.known[b.Next] = found
	return found
}

// exitOf names a link as interfaces of its kind are named by custom.
func exitOf(link balancer.Link, port func(int) string) string {
	name := port(int(link.Port))
	for _, tag := range link.Tags {
		if tag != 0 {
			name += "." + strconv.Itoa(int(tag.VLAN()))
		}
	}
	return name
}

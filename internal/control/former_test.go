package control

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
)

// A source that the file does not name any more is steered as long as flows speak from it.
func TestFormerSources(t *testing.T) {
	a, b := addr("10.0.0.5"), addr("10.0.0.6")
	spec := func(sources ...netip.Addr) *balancer.Spec {
		s := webSpec()
		s.Services[0].Mode, s.Services[0].SnatAddresses = balancer.FullNAT, sources
		return &s
	}
	of := func(list ...netip.Addr) (out []bpf.Source) {
		for _, a := range list {
			out = append(out, bpf.Source{Address: a, First: 1024, Last: 65535})
		}
		return out
	}
	k := &kernel{speaks: map[netip.Addr]bool{}}
	r := &Reconciler{engine: k, sources: of(a, b)}
	if got := sources(spec(a, b)); !slices.Equal(got, of(a, b)) {
		t.Errorf("sources %v", got)
	}
	if got := r.former(spec(b)); got != nil {
		t.Errorf("%v, which nobody speaks from", got)
	}
	k.speaks[a], k.speaks[b] = true, true
	if got := r.former(spec(b)); !slices.Equal(got, of(a)) {
		t.Errorf("%v, want %v", got, a)
	}
	m := machine{former: r.former(spec(b))}
	if got := steer(spec(b), &m).Sources; !slices.Equal(got, of(b, a)) {
		t.Errorf("%v are steered", got)
	}
	if (&machine{}).equal(&m) {
		t.Error("it makes no difference to the steering")
	}
	narrow := spec(a, b)
	narrow.Services[0].SnatPorts = balancer.Ports{First: 5000, Last: 6000}
	if got := r.former(narrow); !slices.Equal(got, of(a, b)) {
		t.Errorf("of other ports: %v", got)
	}
}

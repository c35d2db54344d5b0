package control

import (
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
)

// sources returns what full NAT speaks from, each once.
func sources(spec *balancer.Spec) (list []bpf.Source) {
	for i := range spec.Services {
		s := &spec.Services[i]
		if !s.Mode.Traits().TranslatesSource {
			continue
		}
		for _, a := range s.SnatAddresses {
			o := bpf.Source{Address: a, First: s.SourcePorts().First, Last: s.SourcePorts().Last}
			if !slices.Contains(list, o) {
				list = append(list, o)
			}
		}
	}
	return list
}

// former returns those sources that spec does not have any more, while flows still speak
// from them: a reload that takes an address away ends no connection.
func (r *Reconciler) former(spec *balancer.Spec) (list []bpf.Source) {
	if len(r.sources) == 0 {
		return nil
	}
	now := sources(spec)
	for _, o := range r.sources {
		if !slices.Contains(now, o) && r.engine.SpeaksFrom(o.Address) {
			list = append(list, o)
		}
	}
	return list
}

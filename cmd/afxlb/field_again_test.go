package main

import (
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// While an interface is served anew, what comes for the services is not the kernel's, which
// would reset it.
func TestFieldServedAnewLeaksNothing(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	w.forward(w.lab.Balancer)
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("own", lab.BalancerAddr(), "nat", quickHealth),
		streamService("streams", natVIP4, "nat", quickHealth)), "--xdp-mode", "generic")
	list := map[string]*streams{"a routed address": w.openStreams(20, natVIP4), "an own address": w.openStreams(20, lab.BalancerAddr())}
	w.setMTUs(3000)
	p.await("have larger frames", func(s api.Status) bool {
		return s.State == "serving" && s.Workers[0].Frames.Size == 4096 && s.Backends.Up == s.Backends.Total
	})
	for name, s := range list {
		s.mustLive(name + ", with larger frames")
	}
	p.stop()
}

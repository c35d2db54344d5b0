package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// C19: neighbours on the same machine, over a veth or from a virtual machine, leave their
// checksums to hardware that never comes. They are served all the same, from the start or
// from some time on, and it is told.
func TestFieldUnfinishedChecksums(t *testing.T) {
	const none = "health: {type: none},"
	for _, mode := range []string{"auto", "generic"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.listenStreams()
			w.listenDatagrams()
			var services []string
			vips := map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6}
			for name, vip := range vips {
				services = append(services, service(name, vip, name[:3], "tcp", quickHealth), service(name+"u", vip, name[:3], "udp", none),
					streamService(name+"s", vip, name[:3], none))
			}
			p := w.serve(w.writeConfig("afxlb.yaml", services...), "--xdp-mode", mode)
			var open []*streams
			for _, vip := range vips {
				open = append(open, w.openStreams(3, vip))
			}
			if n := p.counter("checksums", "completed"); n != 0 {
				t.Errorf("%d checksums were finished before any had to be", n)
			}
			if err := w.lab.SetOffload(w.lab.Balancer, true); err != nil {
				t.Fatal(err)
			}
			for name, vip := range vips {
				if by := w.mustAnswer(9, vip); len(by) != 3 {
					t.Errorf("%s: answered by %v", name, by)
				}
				w.askUDP(vip)
			}
			for _, s := range open {
				s.mustLive("after the change")
				s.close()
			}
			s := p.await("warn", func(s api.Status) bool {
				return slices.ContainsFunc(s.Warnings, func(w api.Warning) bool { return w.Code == "checksums" })
			})
			if n := p.awaitLines(1, "WARN.*unfinished checksums"); n != 1 {
				t.Errorf("told %d times in the log: %+v", n, s.Warnings)
			}
			// So are those of packets that the balancer answers itself.
			for _, s := range w.web {
				s.Kill()
			}
			p.await("see the dead backends", func(s api.Status) bool { return s.Backends.Up == 2*4*3 })
			if _, err := w.get(natVIP4); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("without a backend: %v", err)
			}
			p.checkSums()
			p.stop()
		})
	}
}

package main

import (
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// hold opens connections to the web service at natVIP4 that stay, and returns how many
// each server got.
func (w *world) hold(n int) map[string]int {
	w.t.Helper()
	by := map[string]int{}
	for range n {
		c := w.lab.Clients[0].HTTPClient(patience, true)
		w.t.Cleanup(c.CloseIdleConnections)
		name, err := lab.Get(w.t.Context(), c, url(natVIP4, "/"))
		if err != nil {
			w.t.Fatalf("open a connection that stays: %v", err)
		}
		by[name]++
	}
	return by
}

// C27: a server refuses, and no check has noticed. It has the least to do, and is not the
// choice for everybody; when it is back it is soon found out.
func TestFieldServerThatRefuses(t *testing.T) {
	w := newWorld(t)
	for _, algorithm := range []string{"least-conn", "two-choices"} {
		p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "health: {type: none}, algorithm: "+algorithm+",")))
		w.hold(60)
		w.web[0].Kill()
		const n = 60
		refused := 0
		for range n {
			if _, err := w.get(natVIP4); err != nil {
				refused++
			}
		}
		if refused == 0 || refused > n/4 { // round-robin: a third
			t.Errorf("%s: %d of %d new connections were refused", algorithm, refused, n)
		}
		if err := w.web[0].Start(); err != nil {
			t.Fatal(err)
		}
		found := 0
		for range 3 * n {
			if name, err := w.get(natVIP4); err != nil {
				t.Fatal(err)
			} else if name == "b0" {
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s: nobody has found out that it is back", algorithm)
		}
		p.stop()
	}
}

// A server that returns is not flooded: it gets its share by and by.
func TestFieldServerThatReturns(t *testing.T) {
	w := newWorld(t)
	for _, algorithm := range []string{"least-conn", "two-choices"} {
		p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth+" algorithm: "+algorithm+",")))
		for _, b := range []string{"b0", "b1", "b2"} {
			if h := p.backend("web", b).Handicap; h != 0 {
				t.Errorf("%s: at the start %s has a handicap of %d", algorithm, b, h)
			}
		}
		w.hold(60)
		w.web[0].Kill()
		p.await("notice", func(api.Status) bool { b := p.backend("web", "b0"); return b.State == "down" && b.Live == 0 })
		if err := w.web[0].Start(); err != nil {
			t.Fatal(err)
		}
		p.await("have it back", func(api.Status) bool { return p.backend("web", "b0").State == "up" })
		first := p.backend("web", "b0").Handicap
		if first < 10 || first > 30 {
			t.Errorf("%s: back, it has a handicap of %d beside servers with 20 connections", algorithm, first)
		}
		by := w.hold(12)
		if got := by["b0"]; got > 7 {
			t.Errorf("%s: of the first 12 it got %d: %v", algorithm, got, by)
		}
		p.await("let the handicap go down", func(api.Status) bool { return p.backend("web", "b0").Handicap < first })
		for got := by["b0"]; got == 0; {
			got = w.hold(1)["b0"]
		}
		p.stop()
	}
}

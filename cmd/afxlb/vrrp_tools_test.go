//go:build tools

package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// keepalived runs one beside a balancer, by the config that docs/OPERATIONS.md shows.
func (w *world) keepalived(name string, p *process, addresses ...netip.Addr) {
	t := w.t
	t.Helper()
	match := regexp.MustCompile("(?s)```keepalived\n(.*?)```").FindStringSubmatch(readText(t, "../../docs/OPERATIONS.md"))
	if match == nil {
		t.Fatal("docs/OPERATIONS.md has no example for keepalived")
	}
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	afxlb := filepath.Join(dir, "afxlb")
	var lines []string
	for _, a := range addresses {
		lines = append(lines, netip.PrefixFrom(a, 24).String())
	}
	files := map[string]string{
		"afxlb": fmt.Sprintf("#!/bin/sh\nAFXLB_TEST_MAIN=1 exec %s \"$@\" --socket %s\n", exe, p.socket),
		"conf": strings.NewReplacer(
			"/usr/bin/afxlb", afxlb, "interface eth0", "interface "+lab.Interface,
			"203.0.113.254/24", strings.Join(lines, "\n"),
			"    enable_script_security\n", "", // which wants no folder above that others may write to
		).Replace(match[1]),
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(afxlb, 0o755); err != nil {
		t.Fatal(err)
	}
	var out tail
	c := exec.Command("keepalived", "--dont-fork", "--log-console", "--no-syslog", "--log-detail", "--vrrp",
		"--use-file", filepath.Join(dir, "conf"), "--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp.pid"))
	c.Stdout, c.Stderr = &out, &out
	if err := w.lab.Balancer.Start(c); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait() // it is killed in the end
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt) // so that it ends its children
		select {
		case <-ended:
		case <-time.After(patience):
			_ = c.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("keepalived of %s:\n%s", name, out.String())
		}
	})
}

// Two machines with keepalived beside them: when the balancer of the one that has the address
// dies, the other gets it, and no connection is lost; when it has no backend left, too.
func TestToolsTwoMachines(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	other := w.second()
	router := sibling(lab.ClientAddr(0)) // to which the services' addresses are routed
	if err := w.lab.Clients[0].Route(netip.MustParsePrefix("192.0.2.0/24"), router, lab.Interface); err != nil {
		t.Fatal(err)
	}
	gateway := sibling(lab.BackendAddr(0)) // of the backends, for what they send to clients
	for _, h := range w.lab.Backends {
		if err := h.Route(netip.PrefixFrom(router, 24).Masked(), gateway, lab.Interface); err != nil {
			t.Fatal(err)
		}
	}
	config := w.writeConfig("afxlb.yaml", streamService("web", dsrVIP4, "dsr", "algorithm: maglev, "+quickHealth), streamService("nat", natVIP4, "nat", "algorithm: maglev, "+quickHealth))
	first := w.serve(config)
	w.keepalived("first", first, router, gateway)
	w.awaitHolder(lab.Interface, router)
	second := other.serve(config)
	other.keepalived("second", second, router, gateway)

	second.await("be no newcomer", func(s api.Status) bool { return time.Since(s.Started) > 7*time.Second }) // which it is for five
	s, nat := w.openStreams(60, dsrVIP4), w.openStreams(60, natVIP4)
	s.mustLive("at the first")
	nat.mustLive("at the first, with nat")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	other.awaitHolder(lab.Interface, router)
	w.awaitHolder("", router)
	s.mustLive("at the second")
	nat.mustLive("at the second, with nat")
	if n := s.lost() + nat.lost(); n > 0 {
		t.Errorf("%d of %d connections are lost", n, len(s.list)+len(nat.list))
	}
	if got := second.status().Flows.Flows; got < len(s.list)+len(nat.list) {
		t.Errorf("the second knows %d flows", got)
	}

	// The first is back, and gets the address when the second has nobody in rotation: what the
	// second has goes along.
	again := w.start(nil, "--config", config, "--socket", first.socket)
	again.api = first.api
	again.await("serve", func(s api.Status) bool { return s.Backends.Up == 6 })
	for _, b := range []string{"b0", "b1", "b2"} {
		second.order("drain", "web", b)
	}
	w.awaitHolder(lab.Interface, router)
	s.mustLive("at the first again")
	if n := s.lost(); n > 0 {
		t.Errorf("%d of %d connections are lost", n, len(s.list))
	}
}

package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// The tests named TestField hold cases from the field; docs/FIELD.md tells of each.

// reload has the daemon read its file again.
func (p *process) reload() api.Reload {
	p.t.Helper()
	r, err := p.api.Reload(p.t.Context())
	if err != nil {
		p.t.Fatalf("reload: %v", err)
	}
	return r
}

// slowCheck asks the web servers, which answer after a delay of their own. It is far below the
// timeout: none of them is late.
func slowCheck(interval string) string {
	return fmt.Sprintf("health: {type: http, port: %d, interval: %s, timeout: 2s, rise: 2, fall: 2},", port, interval)
}

// C01: a change of how backends are asked moves no stream and refuses nobody, though
// some answer the new question later than others.
func TestFieldHealthParametersChange(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	for _, s := range w.web[1:] {
		s.SetDelay(800 * time.Millisecond)
	}
	for _, policy := range []string{"reassign", "reset", "keep"} {
		onDown := "on-down: " + policy + ", "
		config := w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", onDown+slowCheck("2s")))
		p := w.serve(config)
		s := w.openStreams(30, natVIP4)
		for _, health := range []string{
			slowCheck("3s"), strings.Replace(slowCheck("3s"), "fall: 2", "fall: 3", 1),
			strings.Replace(slowCheck("3s"), "type: http", "type: http, path: /healthz", 1), quickHealth, slowCheck("2s"),
		} {
			w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", onDown+health))
			p.reload()
			s.mustLive("after a change to " + health)
			w.openStreams(6, natVIP4).close() // new ones are taken at once
		}
		if n := p.counter("packets", "no-backend") + p.counter("packets", "backend-down"); n != 0 {
			t.Errorf("on-down %s: %d packets found no backend", policy, n)
		}
		s.close()
		p.stop()
	}
}

// C09: names are labels, and neither they nor an order nor a default that is written
// out is a change for anybody.
func TestFieldRenaming(t *testing.T) {
	backends := func(names ...string) (list []string) {
		for i, name := range names {
			if name != "" {
				name = "name: " + name + ", "
			}
			list = append(list, fmt.Sprintf("{%saddress: %q}", name, lab.BackendAddr(i)))
		}
		return list
	}
	reversed := backends("b0", "b1", "b2")
	slices.Reverse(reversed)
	var written []string
	for i := range 3 {
		written = append(written, fmt.Sprintf("{name: b%d, address: %q, port: %d, weight: 1}", i, lab.BackendAddr(i), streamPort))
	}
	for _, algorithm := range []string{"round-robin", "maglev"} {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorld(t)
			w.listenStreams()
			extra := "algorithm: " + algorithm + ", " + quickHealth
			first := streamService("web", natVIP4, "nat", extra, backends("b0", "b1", "b2")...)
			p := w.serve(w.writeConfig("afxlb.yaml", first))
			s := w.openStreams(30, natVIP4)
			for what, text := range map[string]string{
				"service renamed":     streamService("www", natVIP4, "nat", extra, backends("b0", "b1", "b2")...),
				"backend renamed":     streamService("web", natVIP4, "nat", extra, backends("b0", "srv-b1", "b2")...),
				"names swapped":       streamService("web", natVIP4, "nat", extra, backends("b1", "b0", "b2")...),
				"names removed":       streamService("web", natVIP4, "nat", extra, backends("", "", "")...),
				"order":               streamService("web", natVIP4, "nat", extra, reversed...),
				"defaults written":    streamService("web", natVIP4, "nat", extra+" protocol: tcp, on-down: reassign,", written...),
				"comment and spacing": "  # moved\n\n" + first,
			} {
				w.writeConfig("afxlb.yaml", text)
				p.reload()
				s.mustLive(what)
			}
			if n := p.counter("flows", "inserted"); n != 30 {
				t.Errorf("%d flows for 30 streams", n)
			}
			p.stop()
		})
	}
}

// C25: what a reload can't apply is named, by key, everywhere that somebody looks.
func TestFieldReloadNamesWhatNeedsARestart(t *testing.T) {
	w := newWorld(t)
	web := service("web", natVIP4, "nat", "tcp", quickHealth)
	p := w.serve(w.writeConfig("afxlb.yaml", web))
	for key, line := range map[string]string{
		"queues": "queues: 0", "cpus": "cpus: 0-1", "xdp-mode": "xdp-mode: generic", "driver": "driver: asavie", "poll": "poll: busy",
		"listen": "listen: 127.0.0.1:9999", "log.format": "log: {format: json}", "conntrack.max-flows": "conntrack: {max-flows: 5000}",
		"interface": "", // replaced below
	} {
		path := w.writeConfig("afxlb.yaml", web, line+"\n")
		if key == "interface" {
			replaceInFile(t, path, "interface: "+lab.Interface, "interface: nosuch0")
		}
		if got := p.reload().NeedsRestart; !slices.Equal(got, []string{key}) {
			t.Errorf("%s: the reload says that %q need a restart", line, got)
		}
		s := p.status()
		if !slices.Equal(s.NeedsRestart, []string{key}) || !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool { return strings.Contains(w.Text, key) }) {
			t.Errorf("%s: the status names %q, with warnings %+v", line, s.NeedsRestart, s.Warnings)
		}
		p.awaitLines(1, "not in force before a restart: "+key)
		if code, _, stderr := cli("reload", "--socket", p.socket); code != exitPartly || !strings.Contains(stderr, key) {
			t.Errorf("%s: afxlb reload: exit code %d, %q", line, code, stderr)
		}
	}
	// What can be applied is, and is no reason for a restart.
	w.writeConfig("afxlb.yaml", web, "log: {level: debug}\nconntrack: {timeouts: {tcp-established: 3s}}\n")
	if got := p.reload(); len(got.NeedsRestart) != 0 {
		t.Errorf("log level and timeouts need a restart: %q", got.NeedsRestart)
	}
	w.writeConfig("afxlb.yaml", web, service("second", netip.MustParseAddr("192.0.2.11"), "nat", "tcp", quickHealth), "log: {level: debug}\n")
	p.reload()
	p.awaitLines(1, "DEBUG")
	// A wrong file changes nothing, by the verb either.
	w.writeConfig("afxlb.yaml", "  - {name: wrong}\n")
	if code, _, stderr := cli("reload", "--socket", p.socket); code != exitUsage || !strings.Contains(stderr, "services[0]") {
		t.Errorf("reload of a wrong file: exit code %d, %q", code, stderr)
	}
	w.mustAnswer(3, natVIP4)
	p.stop()
}

func replaceInFile(t *testing.T, path, old, now string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, now, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A file that is valid word for word, but asks for more than the kernel's maps have
// room for, is refused by check, by a start and by a reload, before anything moved.
func TestMoreThanThereIsRoomFor(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	small := streamService("web", natVIP4, "nat", "health: {type: none},") // no fact of it makes a generation
	var big strings.Builder
	big.WriteString(small)
	for i := range 3000 {
		fmt.Fprintf(&big, "  - {name: s%d, address: 203.0.%d.%d, port: 1-65534, health: {type: none}, backends: [{address: 10.0.0.11}]}\n", i, i>>8, i&255)
	}
	path := w.writeConfig("big.yaml", big.String())
	if code, _, stderr := cli("check", path); code != exitUsage || !strings.Contains(stderr, "over the limit") {
		t.Errorf("check: exit code %d, %q", code, stderr)
	}
	p := w.start(nil, "--config", path)
	if code := p.exit(); code != exitUsage || w.attached() {
		t.Errorf("start: exit code %d", code)
	}
	config := w.writeConfig("afxlb.yaml", small)
	p = w.serve(config)
	s := w.openStreams(12, natVIP4)
	before := p.settled() // the router becomes known when clients come, which is a fact
	w.writeConfig("afxlb.yaml", big.String())
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	after := p.await("refuse it", func(s api.Status) bool { return strings.Contains(s.Reload, "over the limit") })
	if after.Generation != before.Generation || after.Services.Total != 1 {
		t.Errorf("the refused reload made generation %d of %d, with %d services", after.Generation, before.Generation, after.Services.Total)
	}
	s.mustLive("after a refused reload")
	p.stop()
}

// Where the config file was, there is a pipe that never ends, or a device that has no end: the
// reload is refused, soon, and the balancer goes on, takes the next one, and ends when it is told.
func TestFieldReloadOfNoFile(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	text := readFile(t, config)
	p := w.serve(config)
	put := func(what string, err error) {
		t.Helper()
		if err := cmp.Or(err, os.Rename(config+".new", config)); err != nil {
			t.Fatalf("put %s in place of the file: %v", what, err)
		}
	}
	for n, kind := range []string{"a pipe", "a device"} {
		switch kind {
		case "a pipe":
			put(kind, syscall.Mkfifo(config+".new", 0o600))
			writer, err := os.OpenFile(config, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
		case "a device":
			put(kind, os.Symlink("/dev/zero", config+".new"))
		}
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.awaitLines(n+1, "ERROR.*reload refused; everything stays as it was")
	}
	w.mustAnswer(3, natVIP4)
	if err := os.WriteFile(config+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	put("the file", nil)
	p.reload()
	p.stop()
}

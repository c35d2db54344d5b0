package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// order runs afxlb backend; the exit code must be 0.
func (p *process) order(args ...string) (stdout, stderr string) {
	p.t.Helper()
	code, stdout, stderr := cli(append(append([]string{"backend"}, args...), "--socket", p.socket)...)
	if code != exitDone {
		p.t.Fatalf("backend %v: exit code %d, %q, %q", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// at returns how many of the streams are at a backend.
func (s *streams) at(backend string) (n int) {
	for _, one := range s.list {
		if one.backend == backend {
			n++
		}
	}
	return n
}

// A backend that drains under load keeps every connection that it has and gets no new one;
// who waits for the end of them is told of it, and of the end of the time. A disabled one
// is not there, and a weight is the share. All of that outlives a restart but what is
// volatile, and ends when the file has another say.
func TestFieldRuntimeChanges(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	services := func(weight int) []string {
		backends := backendsOf(natVIP4)
		backends[1] = strings.Replace(backends[1], "}", fmt.Sprintf(", weight: %d}", weight), 1)
		return []string{
			streamService("web", natVIP4, "nat", "algorithm: weighted-round-robin, on-down: reset, "+quickHealth, backends...),
			service("http", natVIP4, "nat", "tcp", "algorithm: weighted-round-robin, "+quickHealth),
		}
	}
	config := w.writeConfig("afxlb.yaml", services(1)...)
	p := w.serve(config)
	old := w.openStreams(12, natVIP4)
	if old.at("b0") == 0 {
		t.Fatal("b0 has none of 12 streams")
	}

	t.Log("drain under load")
	opened := make(chan *streams)
	go func() { opened <- w.openStreams(40, natVIP4) }() // meanwhile
	stdout, _ := p.order("drain", "web", "b0")
	if !strings.Contains(stdout, "web/b0 (10.0.0.11:9000): up, weight 1 → drain, weight 0 (override), generation ") {
		t.Errorf("the drain says %q", stdout)
	}
	meanwhile := <-opened
	late := w.openStreams(12, natVIP4)
	if n := late.at("b0"); n != 0 {
		t.Errorf("%d of 12 new streams are at the backend that drains", n)
	}
	for name, s := range map[string]*streams{"before": old, "meanwhile": meanwhile, "after": late} {
		s.mustLive("opened " + name + " the drain")
	}
	if b := p.backend("web", "b0"); b.State != "drain" || b.Override != "drain" || b.Weight != 0 || b.FileWeight != 1 {
		t.Errorf("the backend that drains is %+v", b)
	}
	if code, _, stderr := cli("backend", "drain", "web", "b0", "--timeout", "300ms", "--socket", p.socket); code != exitPartly || !strings.Contains(stderr, "the time is over, with ") {
		t.Errorf("drain with a timeout: exit code %d, %q", code, stderr)
	}
	done := make(chan string)
	go func() {
		code, stdout, _ := cli("backend", "drain", "web", "b0", "--wait", "--socket", p.socket)
		done <- fmt.Sprint(code, " ", stdout)
	}()
	old.close()
	meanwhile.close()
	if said := <-done; !strings.HasPrefix(said, "0 ") || !strings.HasSuffix(said, "no flow of web/b0 left\n") {
		t.Errorf("drain --wait ends with %q", said)
	}
	if b := p.backend("web", "b0"); b.Live != 0 {
		t.Errorf("%d connections are there after the wait for none", b.Live)
	}

	t.Log("disable: flows go by on-down, and the state file can't be written")
	obstacle := filepath.Join(w.dir, "state.json.new")
	if err := os.MkdirAll(filepath.Join(obstacle, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := p.order("disable", "web", fmt.Sprint(lab.BackendAddr(1), ":", streamPort))
	if !strings.Contains(stdout, "up, weight 1 → disabled, weight 0 (override)") || !strings.Contains(stderr, "not kept over a restart: write the state file: ") {
		t.Errorf("disable says %q, %q", stdout, stderr)
	}
	p.await("reset its streams, and no other one", func(api.Status) bool { return late.lost() == late.at("b1") })
	p.await("warn", func(s api.Status) bool { return strings.Contains(warned(s, "state-file"), "not kept over a restart") })
	p.awaitLines(1, `ERROR.*not kept over a restart; trying again.*state-file`)
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}

	t.Log("weights are shares")
	p.order("weight", "http", "b0", "6")
	p.order("disable", "http", "b1")
	p.await("keep them again", func(s api.Status) bool { return warned(s, "state-file") == "" && len(s.Overrides) == 4 })
	if by := w.mustAnswer(42, natVIP4); by["b1"] != 0 || by["b0"] < 33 || by["b0"] > 39 {
		t.Errorf("with weights of 6, 0 and 1 %v have answered", by)
	}
	if _, stderr := p.order("drain", "http", "b2", "--volatile"); stderr != "" {
		t.Errorf("a volatile drain warns: %q", stderr)
	}
	if _, stderr := p.order("disable", "http", "b0", "--volatile"); !strings.Contains(stderr, "no backend in rotation") {
		t.Errorf("the last backend is disabled with %q", stderr)
	}
	late.close()
	p.stop()

	t.Log("a restart, from where the file is")
	p = w.newProcess(nil)
	p.Dir, p.Args = w.dir, append(p.Args, "--config", filepath.Base(config))
	p.launch(w, p.Args)
	p.await("serve", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 4 })
	want := map[string]string{"web/b0": "drain", "web/b1": "disabled", "http/b0": "weight 6", "http/b1": "disabled"}
	for _, o := range p.status().Overrides {
		if name := o.Service + "/" + o.Backend; want[name] != o.Setting || !o.Kept {
			t.Errorf("after a restart there is %+v, want %q", o, want[name])
		} else {
			delete(want, name)
		}
	}
	if len(want) != 0 {
		t.Errorf("after a restart there is no %v", want)
	}
	if path := p.status().Config; path != config {
		t.Errorf("the config is %s for who is elsewhere, want %s", path, config)
	}

	t.Log("the file has another say")
	w.writeConfig("afxlb.yaml", services(2)...)
	p.reload()
	if b := p.backend("web", "b1"); b.Override != "" || b.Weight != 2 {
		t.Errorf("after a reload that changes it: %+v", b)
	}
	p.awaitLines(1, `WARN.*change of the backend has ended: disabled.*it said weight 1, and says weight 2`)
	p.order("enable", "web", "b0")
	p.await("serve all but one", func(s api.Status) bool { return s.Backends.Up == 5 })
	p.stop()

	t.Log("a damaged state file")
	state := filepath.Join(w.dir, "state.json")
	if text := readFile(t, state); strings.Contains(string(text), "9000") || !strings.Contains(string(text), `"10.0.0.11:8080"`) {
		t.Errorf("the state file has\n%s", text)
	}
	if err := os.WriteFile(state, []byte("{\"version\": 1, \"overr"), 0o644); err != nil {
		t.Fatal(err)
	}
	p = w.serve(config)
	p.awaitLines(1, `ERROR.*the state file can't be used; it is kept as .*damaged`)
	if text := warned(p.status(), "state-file"); !strings.Contains(text, "is forgotten") {
		t.Errorf("the status warns of the state file by %q", text)
	}
	p.reload()
	if text := warned(p.status(), "state-file"); text != "" {
		t.Errorf("after a reload the status warns by %q", text)
	}
	if aside, err := filepath.Glob(state + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Errorf("put aside: %v, %v", aside, err)
	}
	p.stop()
}

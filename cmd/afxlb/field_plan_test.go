package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// lasting is the third column of so many connections.
func lasting(n int, then string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "       1 connection: " + then
	}
	return fmt.Sprintf("       %d connections: %s", n, then)
}

// What a reload will do is said before by a dry run, and of another file by check, in the
// same words, and nothing has changed then; what it has done, it says itself, the log and an
// event. Errors change nothing, and are told everywhere.
func TestFieldReloadTells(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	backend := func(i int, extra string) string {
		return fmt.Sprintf("{name: b%d, address: %q%s}", i, lab.BackendAddr(i), extra)
	}
	old := streamService("web", natVIP4, "nat", "algorithm: maglev, "+quickHealth, backend(0, ""), backend(1, ""), backend(2, ""))
	now := streamService("web", natVIP4, "nat", "algorithm: maglev, "+strings.Replace(quickHealth, "fall: 2", "fall: 3", 1),
		backend(0, ""), backend(1, ", weight: 0")) + service("second", natVIP4.Next(), "nat", "tcp", quickHealth)
	const settings = "log: {level: debug}\nqueues: 0\n"
	config := w.writeConfig("afxlb.yaml", old)
	p := w.serve(config)
	s := w.openStreams(12, natVIP4)
	by := map[string]int{}
	for _, one := range s.list {
		by[one.backend]++
	}
	before := p.settled()

	if code, stdout, stderr := cli("reload", "--dry-run", "--socket", p.socket); code != exitDone || stdout != "a reload would change nothing\n" {
		t.Errorf("a dry run of the same file: exit code %d, %q, %q", code, stdout, stderr)
	}
	other := w.writeConfig("other.yaml", now, settings)
	if code, stdout, stderr := cli("check", "--against-running", "--socket", p.socket, config); code != exitDone || !strings.HasSuffix(stdout, "would change nothing\n") {
		t.Errorf("check of the same file: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, planned, stderr := cli("check", "--against-running", "--socket", p.socket, other)
	_, planned, _ = strings.Cut(planned, "\n") // that it is valid
	if code != exitPartly || stderr != "" {
		t.Errorf("check of another file: exit code %d, %q", code, stderr)
	}
	want := strings.NewReplacer("B1", lasting(by["b1"], "each stays until it ends, and new ones go elsewhere"),
		"B2", lasting(by["b2"], "each goes to another backend at its next packet, and ends there")).Replace(`a reload would change:
~ queues          all → 0              needs a restart
~ log.level       info → debug
~ service web     192.0.2.10:9000/tcp  12 connections
  ~ health.fall   2 → 3
  ~ backend b1    10.0.0.12:9000B1
    ~ weight      1 → 0
  - backend b2    10.0.0.13:9000B2
  ~ hash slots    66.67% move          43691 of 65537
+ service second  192.0.2.11:8080/tcp
`)
	if planned != want {
		t.Errorf("planned:\n%s\nwant:\n%s", planned, want)
	}
	text := readFile(t, other)
	if err := os.WriteFile(config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, dry, stderr := cli("reload", "--dry-run", "--socket", p.socket); code != exitPartly || dry != planned || stderr != "" {
		t.Errorf("a dry run says (exit code %d, %q):\n%s\nand check said:\n%s", code, stderr, dry, planned)
	}
	var told api.Reload
	code, document, _ := cli("reload", "--dry-run", "--json", "--socket", p.socket)
	if err := json.Unmarshal([]byte(document), &told); err != nil || code != exitPartly || !told.DryRun || len(told.Services) != 2 {
		t.Errorf("--json: exit code %d, %v, %s", code, err, document)
	}
	if code, same, stderr := cli("check", "--against-running", "--json", "--socket", p.socket, other); code != exitPartly || same != document || stderr != "" {
		t.Errorf("check --json: exit code %d, %q, %s\nand the dry run: %s", code, stderr, same, document)
	}
	if code, _, stderr := cli("check", "--json", other); code != exitUsage || !strings.Contains(stderr, "--against-running") {
		t.Errorf("check --json alone: exit code %d, %q", code, stderr)
	}
	if after := p.status(); after.Generation != before.Generation || after.Reload != "" || after.Services.Total != 1 || len(after.NeedsRestart) != 0 {
		t.Errorf("dry runs have changed something: generation %d of %d, reload %q, %d services", after.Generation, before.Generation, after.Reload, after.Services.Total)
	}
	s.mustLive("after dry runs")

	for what, text := range map[string]string{"not YAML": "services: [", "wrong": "interface: eth0\nservices: [{name: x}]\n"} {
		bad := filepath.Join(w.dir, "bad.yaml")
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"reload", "--dry-run"}, {"reload"}} {
			if code, stdout, stderr := cli(append(args, "--socket", p.socket)...); code != exitUsage || stdout != "" || !strings.Contains(stderr, config+":") {
				t.Errorf("%v of a file that is %s: exit code %d, %q", args, what, code, stderr)
			}
		}
		_, err := p.api.Preview(t.Context(), &api.ConfigText{Name: bad, Text: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), bad+":") {
			t.Errorf("a plan of a text that is %s: %v", what, err)
		}
		if s := p.status(); s.Generation != before.Generation || !strings.Contains(s.Reload, config+":") {
			t.Errorf("a file that is %s: generation %d of %d, reload %q", what, s.Generation, before.Generation, s.Reload)
		}
		if n := w.scrape()("afxlb_config_last_reload_successful"); n != 0 {
			t.Errorf("the metric of success is %v after a refusal", n)
		}
		list := p.awaitEvent("a refusal", func(e *api.Event) bool { return e.Kind == "reload-refused" && strings.Contains(e.Reason, config+":") })
		for _, e := range list {
			if e.Kind == "reload" {
				t.Errorf("told as done: %+v", e)
			}
		}
	}

	if err := os.WriteFile(config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	code, done, _ := cli("reload", "--socket", p.socket)
	_, changes, _ := strings.Cut(done, "\n")
	if _, want, _ := strings.Cut(planned, "\n"); code != exitPartly || !strings.HasPrefix(done, "reloaded, generation ") || changes != want {
		t.Errorf("exit code %d, done:\n%s\nand planned:\n%s", code, done, planned)
	}
	if n := w.scrape()("afxlb_config_last_reload_successful"); n != 1 {
		t.Errorf("the metric of success is %v after a reload", n)
	}
	p.awaitEvent("what was done", func(e *api.Event) bool {
		return e.Kind == "reload" && strings.Contains(e.Reason, "queues all → 0; log.level info → debug; web: health.fall 2 → 3; web/b1: weight 1 → 0; web: backend b2 removed") &&
			strings.Contains(e.Reason, "web: 66.67% of the hash slots move; service second added")
	})
	// What is in force is no change any more; what needs a restart is, until there was one.
	code, again, _ := cli("reload", "--dry-run", "--socket", p.socket)
	if want := "a reload would change:\n~ queues  all → 0  needs a restart\n"; code != exitPartly || again != want {
		t.Errorf("once more: exit code %d, %q, want %q", code, again, want)
	}
	p.stop()
}

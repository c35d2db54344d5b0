package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cli runs a command line in-process.
func cli(args ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, err bytes.Buffer
	code = run(ctx, &env{stdout: &out, stderr: &err}, args)
	return code, out.String(), err.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "afxlb.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// goodConfig names an interface that no machine has: a command line that is wrongly
// accepted must not start a balancer on the one that runs the test.
const goodConfig = `interface: nosuch0
services:
  - {name: web, address: 192.0.2.10, port: 80, backends: [{name: a, address: 10.0.0.11}]}
`

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		code   int
		stdout string
		stderr []string
	}{
		"valid":       {goodConfig, exitDone, "valid, 1 services, 1 backends", nil},
		"unparsable":  {"services: [", exitFailed, "", []string{"afxlb.yaml:1"}},
		"unknown key": {goodConfig + "intreface: nosuch0\n", exitUsage, "", []string{":4: intreface: ", "interface"}},
		"bad address": {strings.Replace(goodConfig, "192.0.2.10", "192.0.2.310", 1), exitUsage, "", []string{":3: services[0].address: "}},
		"algorithm":   {strings.Replace(goodConfig, "port: 80", "port: 80, algorithm: rr", 1), exitUsage, "", []string{":3: services[0].algorithm: ", "round-robin"}},
		"snat in nat": {strings.Replace(goodConfig, "port: 80", "port: 80, snat-addresses: [10.0.0.5]", 1), exitUsage, "", []string{":3: services[0].snat-addresses", "fullnat"}},
		"VIP twice": {goodConfig + "  - {name: two, address: 192.0.2.10, port: 80, backends: []}\n", exitUsage, "",
			[]string{":4: services[1].port: ", `"web"`}},
		"port clash": {goodConfig + "  - {name: r1, address: 192.0.2.11, port: 80-90, backends: []}\n  - {name: r2, address: 192.0.2.11, port: 85-95, backends: []}\n",
			exitUsage, "", []string{":5: services[2].port: ", `"r1"`}},
		"two mistakes": {strings.Replace(goodConfig, "port: 80", "port: 0, mode: natt", 1), exitUsage, "", []string{"services[0].port: ", "services[0].mode: "}},
		"not built":    {strings.Replace(goodConfig, "port: 80", "port: 80, health: {type: exec}", 1), exitUsage, "", []string{":3: services[0].health.type: ", "checks by commands are not built"}},
	} {
		code, stdout, stderr := cli("check", write(t, c.text))
		if code != c.code || !strings.Contains(stdout, c.stdout) {
			t.Errorf("%s: exit code %d, want %d; %q %q", name, code, c.code, stdout, stderr)
		}
		for _, want := range c.stderr {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: no %q in %q", name, want, stderr)
			}
		}
	}
	if code, _, stderr := cli("check", "/nonexistent/afxlb.yaml"); code != exitFailed || !strings.Contains(stderr, "/nonexistent/afxlb.yaml") {
		t.Errorf("missing file: %d %q", code, stderr)
	}
}

func TestUsage(t *testing.T) {
	good := write(t, goodConfig)
	noInterface := write(t, strings.Replace(goodConfig, "interface: nosuch0\n", "", 1))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--nonsense"}, exitUsage, "nonsense"},
		{[]string{"frobnicate"}, exitUsage, "frobnicate"},
		{[]string{"check"}, exitUsage, "FILE"},
		{[]string{"status", "extra"}, exitUsage, "extra"},
		{[]string{"--config", good, "--queues", "3-1"}, exitUsage, "backwards"},
		{[]string{"--config", good, "--cpus", "x"}, exitUsage, "CPUs"},
		{[]string{"--config", good, "--driver", "dpdk"}, exitUsage, "native"},
		{[]string{"--config", good, "--xdp-mode", "turbo"}, exitUsage, "zero-copy"},
		{[]string{"--config", good, "--poll", "lazy"}, exitUsage, "adaptive"},
		{[]string{"--config", good, "--listen", "nonsense"}, exitUsage, "listen"},
		{[]string{"--config", noInterface}, exitUsage, "--interface"},
		{[]string{"--config", "/nonexistent.yaml"}, exitUsage, "/nonexistent.yaml"},
		{[]string{"--config", good, "--interface", "nosuch0"}, exitMachine, "nosuch0"},
		{[]string{"status", "--socket", "/nonexistent.sock"}, exitFailed, "is it running?"},
		{[]string{"flows", "--limit", "many"}, exitUsage, "many"},
		{[]string{"flows", "--client", "10.0.0"}, exitUsage, "want an IP address"},
	} {
		code, _, stderr := cli(c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit code %d, want %d and %q: %q", c.args, code, c.code, c.want, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, c := range verbs() {
		code, stdout, stderr := cli(append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != exitDone || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("help of %q: exit code %d, %q %q", c.CommandPath(), code, stdout, stderr)
		}
	}
	if code, stdout, _ := cli("version"); code != exitDone || !strings.HasPrefix(stdout, "afxlb ") {
		t.Errorf("version: %d %q", code, stdout)
	}
}

// TestSchema: what is printed is what is shipped.
func TestSchema(t *testing.T) {
	shipped, err := os.ReadFile("../../packaging/afxlb.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := cli("schema"); code != exitDone || stdout != string(shipped) || stderr != "" {
		t.Errorf("exit code %d, %d bytes, want %d as shipped; %q", code, len(stdout), len(shipped), stderr)
	}
	if code, _, _ := cli("schema", "x"); code != exitUsage {
		t.Errorf("an argument too many: exit code %d", code)
	}
}

// TestNoRoom: what can't be printed is told, and not by the verbs alone that look.
func TestNoRoom(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := write(t, "services: []\n")
	for _, line := range []string{"check " + file, "help check", "version", "schema", "status --socket " + fakeSocket(t, fake{})} {
		var said bytes.Buffer
		if code := run(t.Context(), &env{stdout: full, stderr: &said}, strings.Fields(line)); code != exitFailed || !strings.Contains(said.String(), "no space left") {
			t.Errorf("%s: exit code %d, %q", line, code, said.String())
		}
	}
}

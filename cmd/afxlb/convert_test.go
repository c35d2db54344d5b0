package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const samples = "../../internal/convert/testdata/"

// TestConvert: exit codes, and that what is written passes check.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("EXTRA", "192.0.2.11")
	for _, c := range []struct {
		args []string
		code int
		want string // on stderr
	}{
		{[]string{samples + "whole.conf"}, exitDone, ""},
		{[]string{samples + "keepalived.conf"}, exitPartly, "things have no equivalent"},
		{[]string{samples + "haproxy.cfg"}, exitPartly, "LEFT OUT"},
		{[]string{"--from", "ipvsadm", samples + "ipvsadm-save"}, exitPartly, "(ipvsadm)"},
		{[]string{put("unclosed", "virtual_server 192.0.2.1 80 {\n")}, exitFailed, "unclosed:1: the block of virtual_server is not closed"},
		{[]string{put("wrong", "virtual_server 192.0.2.1 80 {\n lb_algo x\n}\n")}, exitUsage, `wrong:2: "x" is no scheduler`},
		{[]string{put("other", "server { listen 80; }\n")}, exitUsage, "say with --from"},
		{[]string{"/dev/zero"}, exitFailed, "read /dev/zero: it has more than 16 MB"},
		{[]string{put("endless", "include /dev/zero\nvirtual_server 192.0.2.1 80 {\n}\n")}, exitUsage, "endless:1: include: read /dev/zero: it has more"},
		{[]string{"/nonexistent/keepalived.conf"}, exitFailed, "/nonexistent/keepalived.conf"},
		{[]string{"--from", "nginx", samples + "whole.conf"}, exitUsage, "want keepalived, haproxy or ipvsadm"},
		{[]string{"--address", "web1", samples + "haproxy.cfg"}, exitUsage, "--address"},
		{[]string{"--source", "fe80::1%eth0", samples + "haproxy.cfg"}, exitUsage, "--source"},
		{nil, exitUsage, "FILE"},
	} {
		code, stdout, stderr := cli(append([]string{"convert"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || c.want == "" && stderr != "" {
			t.Errorf("convert %v: exit code %d, want %d and %q: %q", c.args, code, c.code, c.want, stderr)
		}
		if wrote := code == exitDone || code == exitPartly; wrote != (stdout != "") {
			t.Errorf("convert %v: exit code %d, and %d bytes written", c.args, code, len(stdout))
		} else if wrote {
			if code, _, stderr := cli("check", put("afxlb.yaml", stdout)); code != exitDone {
				t.Errorf("convert %v: check of what was written: exit code %d: %s", c.args, code, stderr)
			}
		}
	}
	out := filepath.Join(dir, "out.yaml")
	if code, stdout, stderr := cli("convert", "-o", out, samples+"whole.conf"); code != exitDone || stdout != "" || stderr != "" {
		t.Errorf("to a file: exit code %d, %q %q", code, stdout, stderr)
	}
	if code, _, _ := cli("check", out); code != exitDone {
		t.Errorf("check of the file: exit code %d", code)
	}
	if code, _, stderr := cli("convert", "-o", filepath.Join(dir, "none", "out.yaml"), samples+"whole.conf"); code != exitFailed || !strings.Contains(stderr, "none") {
		t.Errorf("to a folder that is not there: exit code %d, %q", code, stderr)
	}
}

// Who has typed nothing, or whose other program prints nothing, ends it with one signal.
func TestConvertInterrupted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, &env{stdin: r, stdout: &stdout, stderr: &stderr}, []string{"convert", "-"}); code != exitFailed || stdout.Len() != 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, %q, %q", code, &stdout, &stderr)
	}
}

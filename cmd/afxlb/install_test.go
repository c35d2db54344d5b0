package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An installation leaves an administrator's own unit alone, and its unit never gives up.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	own := filepath.Join(root, "etc/systemd/system/afxlb.service")
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("make", "-C", "../..", "install", "DESTDIR="+root, "PREFIX=/usr")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != "mine" {
		t.Errorf("the administrator's unit is now %q, %v", b, err)
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/afxlb.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ExecStart=/usr/bin/afxlb ", "ExecReload=/usr/bin/afxlb reload", "StartLimitIntervalSec=0", "Type=notify", "WatchdogSec=", "LimitMEMLOCK=infinity", "LimitCORE=0", "RestartPreventExitStatus=2"} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("no %q in the unit:\n%s", want, unit)
		}
	}
	for _, path := range []string{"man/man8/afxlb-check.8", "bash-completion/completions/afxlb", "zsh/site-functions/_afxlb", "fish/vendor_completions.d/afxlb.fish", "afxlb/afxlb.schema.json"} {
		if info, err := os.Stat(filepath.Join(root, "usr/share", path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if out, err := exec.Command(filepath.Join(root, "usr/bin/afxlb"), "check", filepath.Join(root, "etc/afxlb/afxlb.example.yaml")).CombinedOutput(); err != nil {
		t.Errorf("check the installed example: %v\n%s", err, out)
	}
}

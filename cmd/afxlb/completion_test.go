package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each shell gets a script of its own, and bash takes what it gets: asked for a verb that begins
// with "comp" it knows one.
func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F", "zsh": "#compdef afxlb", "fish": "complete -c afxlb"} {
		code, stdout, stderr := cli("completion", shell)
		if code != exitDone || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: exit code %d, no %q in %d bytes; %q", shell, code, want, len(stdout), stderr)
		}
	}
	for _, args := range [][]string{{"completion", "tcsh"}, {"completion"}, {"completion", "bash", "zsh"}} {
		if code, _, stderr := cli(args...); code != exitUsage || stderr == "" {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
	if code, stdout, _ := cli("__complete", "comp"); code != exitDone || !strings.HasPrefix(stdout, "completion\t") {
		t.Errorf("what completes comp is %q", stdout)
	}
	if code, stdout, _ := cli("--help"); code != exitDone || !strings.Contains(stdout, "\n  completion ") {
		t.Errorf("help does not list completion:\n%s", stdout)
	}
}

// Each verb that a user sees has a page, with its examples and the version.
func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man8")
	if code, _, stderr := cli("man", dir); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	pages := 0
	for _, c := range verbs() {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		page, err := os.ReadFile(filepath.Join(dir, name+".8"))
		if c.Hidden || c.Name() == "help" {
			if err == nil {
				t.Errorf("there is a page about %s", c.CommandPath())
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		pages++
		for _, want := range []string{fmt.Sprintf(".TH %q \"8\"", strings.ToUpper(name)), "afxlb " + version, ".SH EXAMPLE"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s: no %q in\n%.300s", name, want, page)
			}
		}
	}
	if pages < 10 {
		t.Errorf("only %d pages", pages)
	}
	if code, _, stderr := cli("man", "/proc/nosuch"); code != exitFailed || !strings.Contains(stderr, "/proc/nosuch") {
		t.Errorf("a folder that can't be made: exit code %d, %q", code, stderr)
	}
}

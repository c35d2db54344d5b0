package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// example is a command line that a user is shown.
type example struct {
	from string // where
	line string
}

// calls finds the commands of a line that are afxlb's, or go to its control socket.
var calls = regexp.MustCompile(`(?:^|[|;&] *|\$\()(?:afxlb(?: |$)|curl --unix-socket)`)

// verbs returns every command that can be run, those within others included.
func verbs() (list []*cobra.Command) {
	root := newRoot(&env{stdout: io.Discard, stderr: io.Discard})
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() {
			list = append(list, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return list
}

// examplesOf returns those in a verb's help.
func examplesOf(c *cobra.Command) (list []example) {
	for line := range strings.Lines(c.Example) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, example{c.CommandPath() + " --help", line})
		}
	}
	return list
}

// Every verb shows how it is used, and TestFieldExamples runs what it shows.
func TestEveryVerbHasAnExample(t *testing.T) {
	for _, c := range verbs() {
		shown := false
		for _, e := range examplesOf(c) {
			if !calls.MatchString(e.line) {
				t.Errorf("%s: %q is no command line of afxlb", e.from, e.line)
			}
			shown = shown || regexp.MustCompile(c.CommandPath()+`(?: |$)`).MatchString(e.line)
		}
		if !shown {
			t.Errorf("%s has no example of itself: fill in cobra's Example", c.CommandPath())
		}
	}
}

// documents returns what users read, by its name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no docs: %v", err)
	}
	all := map[string]string{}
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(text)
	}
	return all
}

// blocks returns a document's code blocks in a language, without the indentation of a list.
func blocks(text, language string) (list []string) {
	for _, b := range regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
		list = append(list, strings.TrimPrefix(strings.ReplaceAll("\n"+b[2], "\n"+b[1], "\n"), "\n"))
	}
	return list
}

// examplesIn returns the command lines of the shell blocks that have afxlb do something.
func examplesIn(name, text string) (list []example) {
	for _, b := range blocks(text, "sh") {
		for line := range strings.Lines(strings.ReplaceAll(b, "\\\n", "")) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			if calls.MatchString(line) {
				list = append(list, example{name, strings.TrimSpace(line)})
			}
		}
	}
	return list
}

func TestExamplesAreFound(t *testing.T) {
	const text = "a\n```sh\nafxlb status   # x\nls\nafxlb \\\n  flows\ncat f | afxlb convert -\n```\n- b\n\n  ```sh\n  afxlb check f\n  ```\n"
	list := examplesIn("d", text)
	want := []example{{"d", "afxlb status"}, {"d", "afxlb   flows"}, {"d", "cat f | afxlb convert -"}, {"d", "afxlb check f"}}
	if !slices.Equal(list, want) {
		t.Errorf("%q, want %q", list, want)
	}
	readme := documents(t)["README.md"]
	if len(examplesIn("README.md", readme)) < 5 || len(blocks(readme, "yaml")) == 0 {
		t.Error("the README has no examples")
	}
}

// wholeConfig makes a config of what a document shows, which may be a part of one.
func wholeConfig(shown string) string {
	if strings.Contains(shown, "\nservices:") || strings.HasPrefix(shown, "services:") {
		return shown
	}
	rest := goodConfig
	if strings.Contains("\n"+shown, "\ninterface") {
		rest = strings.Replace(rest, "interface: nosuch0\n", "", 1)
	}
	return shown + rest
}

// What the documents show of the config is valid.
func TestConfigsInTheDocs(t *testing.T) {
	for name, text := range documents(t) {
		for _, b := range blocks(text, "yaml") {
			if code, _, stderr := cli("check", write(t, wholeConfig(b))); code != exitDone {
				t.Errorf("%s: exit code %d: %s\n%s", name, code, stderr, b)
			}
		}
	}
	if code, _, stderr := cli("check", "../../packaging/afxlb.example.yaml"); code != exitDone {
		t.Errorf("example config: exit code %d: %s", code, stderr)
	}
}

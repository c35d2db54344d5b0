package top

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

var update = flag.Bool("update", false, "write the frames of testdata and docs/TOP.md anew")

// frames are those that testdata has, each by the keys that lead there.
var frames = []struct {
	name          string
	keys          []string
	width, height int
}{
	{"services", nil, 80, 24},
	{"services", nil, 160, 50},
	{"services", nil, 20, 5},
	{"backends", []string{"enter"}, 80, 24},
	{"backends", []string{"enter"}, 160, 50},
	{"backend", []string{"enter", "down", "down", "enter"}, 80, 24},
	{"workers", []string{"2"}, 80, 24},
	{"workers", []string{"2"}, 160, 50},
	{"ports", []string{"3"}, 80, 24},
	{"drops", []string{"4"}, 80, 24},
	{"drops", []string{"4"}, 160, 50},
	{"events", []string{"5"}, 80, 24},
	{"events", []string{"5"}, 160, 50},
	{"warnings", []string{"6"}, 80, 24},
	{"help", []string{"?"}, 80, 24},
	{"help", []string{"?"}, 20, 5},
}

// frame returns one as it is seen, without spaces at the ends of lines.
func frame(t *testing.T, keys []string, width, height int) string {
	t.Helper()
	s := newScreen(t, width, height, Options{})
	s.pass()
	s.press(keys...)
	s.pass()
	lines := strings.Split(s.text(), "\n")
	if len(lines) != height {
		t.Errorf("%q: %d lines, the screen has %d", keys, len(lines), height)
	}
	for i, l := range lines {
		if ansi.StringWidth(l) > width {
			t.Errorf("%q: line %d is %d wide: %s", keys, i, ansi.StringWidth(l), l)
		}
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// Each view is as people have seen it to be right. -update writes what is now.
func TestFrames(t *testing.T) {
	for _, f := range frames {
		name := fmt.Sprintf("%s-%dx%d.txt", f.name, f.width, f.height)
		golden(t, filepath.Join("testdata", name), frame(t, f.keys, f.width, f.height))
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not (go test ./internal/top -update writes it)\n%s", path, got)
	}
}

// The screens in the documentation are the tests' own.
func TestScreensInTheDocs(t *testing.T) {
	const path = "../../docs/TOP.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	blank := regexp.MustCompile(`\n{3,}`)
	got := regexp.MustCompile(`(?s)(<!-- frame (\S+) -->\n).*?(<!-- end -->)`).ReplaceAllStringFunc(string(text), func(block string) string {
		n++
		name := strings.Fields(block)[2]
		frame, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("<!-- frame %s -->\n```text\n%s```\n<!-- end -->", name, blank.ReplaceAll(frame, []byte("\n\n")))
	})
	if n < 5 {
		t.Errorf("%s has only %d screens", path, n)
	}
	golden(t, path, got)
}

package web

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// The page has no script or style of its own text, and nothing from elsewhere.
func TestPageIsStrict(t *testing.T) {
	tree, err := html.Parse(strings.NewReader(string(assets["/"].content)))
	if err != nil {
		t.Fatal(err)
	}
	ids, refers := map[string]int{}, []string{}
	for n := range tree.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s %s=…> is inline", n.Data, a.Key)
			}
			if (a.Key == "src" || a.Key == "href") && !ours(a.Val) {
				t.Errorf("<%s %s=%q> is none of the page's", n.Data, a.Key, a.Val)
			}
			if a.Key == "id" {
				ids[a.Val]++
			}
			if a.Key == "aria-labelledby" || a.Key == "href" && a.Val[0] == '#' {
				refers = append(refers, strings.TrimPrefix(a.Val, "#"))
			}
		}
		switch n.Data {
		case "script":
			if attr["src"] == "" || n.FirstChild != nil {
				t.Error("an inline script")
			}
		case "style", "iframe", "object", "embed", "base", "form":
			t.Errorf("<%s>", n.Data)
		case "table":
			if !hasChild(n, "caption") {
				t.Error("a table has no caption")
			}
		case "html":
			if attr["lang"] == "" {
				t.Error("no language")
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements are %s", n, id)
		}
	}
	for _, id := range refers {
		if ids[id] == 0 {
			t.Errorf("nothing is %s, which is referred to", id)
		}
	}
}

// ours reports whether a reference is to a file of the page, a part of it, or what is served
// beside it.
func ours(ref string) bool {
	return strings.HasPrefix(ref, "#") || assets["/"+ref] != nil || slices.Contains(reads, "/"+ref) || ref == "metrics"
}

func hasChild(n *html.Node, name string) bool {
	for c := range n.ChildNodes() {
		if c.Data == name {
			return true
		}
	}
	return false
}

// What makes code or HTML of text, and what asks others.
var (
	unsafe   = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|cssText`)
	outside  = regexp.MustCompile(`(https?:)?//[\w.-]+\.\w+|url\(|@import`)
	imported = regexp.MustCompile(`(?m)^import .* from '([^']+)';`)
)

// Scripts and styles keep to the files there are, each of which is used.
func TestFilesKeepToThemselves(t *testing.T) {
	used := map[string]bool{"/": true}
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(string(assets["/"].content), -1) {
		used["/"+ref[1]] = true
	}
	for name, a := range assets {
		text := string(a.content)
		if m := unsafe.FindString(text); m != "" {
			t.Errorf("%s has %s", name, m)
		}
		if strings.Contains(name, "/vendor/") {
			text = strings.Replace(text, "https://github.com/leeoniya/uPlot", "", 1) // its comment
		}
		if m := outside.FindString(strings.ReplaceAll(text, `"http://www.w3.org/2000/svg"`, "")); m != "" {
			t.Errorf("%s refers to %s", name, m)
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			at := path.Join(path.Dir(name), m[1])
			if assets[at] == nil {
				t.Errorf("%s imports %s, which there is not", name, m[1])
			}
			used[at] = true
		}
	}
	for name := range assets {
		if !used[name] {
			t.Errorf("%s is not used", name)
		}
	}
}

// The same bounds as of Go files: one subject each.
func TestFilesAreShort(t *testing.T) {
	for name, a := range assets {
		if n := strings.Count(string(a.content), "\n"); n > 250 && !strings.Contains(name, "/vendor/") {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}

// Each state that the API has is a word with a mark on the page, not one of those that are not known.
func TestStatesHaveMarks(t *testing.T) {
	style := string(assets["/assets/style.css"].content)
	for _, state := range []string{"starting", "serving", "degraded", "waiting", "stopping", "up", "drain", "down", "warming", "unreachable", "disabled", "info", "warn", "error"} {
		neutral := state == "starting" || state == "stopping"
		if strings.Contains(style, "[data-state="+state+"]") == neutral {
			t.Errorf("%s: the page has a mark: %v", state, !neutral)
		}
	}
}

package arch

import (
	"bytes"
	"go/ast"
	"go/format"
	"slices"
	"strings"
	"testing"
)

// maxLines bounds a file; long names those that may be longer, each with why.
const maxLines = 500

var long = map[string]string{}

func TestFilesStayShort(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.generated() {
			continue
		}
		n := s.lines()
		_, excepted := long[s.path]
		seen[s.path] = n > maxLines
		if n > maxLines && !excepted {
			t.Errorf("%s has %d lines, more than %d: split it by subject", s.path, n, maxLines)
		}
	}
	for path := range long {
		if !seen[path] {
			t.Errorf("%s is not longer than %d lines any more: take it off the list", path, maxLines)
		}
	}
}

func TestFilesAreFormatted(t *testing.T) {
	for _, s := range sources(t) {
		want, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
		} else if !bytes.Equal(s.text, want) {
			t.Errorf("%s is not formatted: run gofmt -w on it", s.path)
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	docs := map[string][]string{} // package to the files that document it
	for _, s := range sources(t) {
		if strings.HasSuffix(s.ast.Name.Name, "_test") {
			continue
		}
		if _, ok := docs[s.pkg]; !ok {
			docs[s.pkg] = nil
		}
		if s.ast.Doc == nil {
			continue
		}
		docs[s.pkg] = append(docs[s.pkg], s.path)
		if want := opening(s.ast, s.pkg); !strings.HasPrefix(s.ast.Doc.Text(), want) {
			t.Errorf("%s: the package comment must begin with %q", s.path, want)
		}
	}
	for pkg, files := range docs {
		slices.Sort(files)
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, want exactly one: %q", pkg, len(files), files)
		}
	}
}

// opening returns how a package comment begins: godoc's convention.
func opening(f *ast.File, pkg string) string {
	if f.Name.Name != "main" {
		return "Package " + f.Name.Name + " "
	}
	return "Command " + pkg[strings.LastIndex(pkg, "/")+1:] + " "
}

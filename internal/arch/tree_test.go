package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/afxlb/afxlb"

// source is one Go file of the repository.
type source struct {
	path string // from the repository's root, with slashes
	pkg  string // its folder
	text []byte
	ast  *ast.File // package clause, imports and comments
}

func (s source) test() bool      { return strings.HasSuffix(s.path, "_test.go") }
func (s source) generated() bool { return ast.IsGenerated(s.ast) }
func (s source) lines() int      { return strings.Count(string(s.text), "\n") }

// imports returns what the file imports: packages of this repository by their
// folder (ours), all others by their path.
func (s source) imports() (ours, others []string) {
	for _, spec := range s.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if folder, ok := strings.CutPrefix(path, module+"/"); ok {
			ours = append(ours, folder)
		} else {
			others = append(others, path)
		}
	}
	return ours, others
}

// sources reads every Go file of the repository. It parses files rather than
// ask the go command, so that it sees all of them whatever their build tags.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "testdata" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		all = append(all, source{path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), text: text, ast: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files: the walk does not see the repository", len(all))
	}
	return all
}

package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var embedded embed.FS

// assets is the page and what it is made of, by path.
var assets = load()

// asset is a file of the page.
type asset struct {
	content    []byte
	kind, etag string
}

// types are those of the files there are: what the machine's own tables say does not matter.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// load reads the embedded files. The page is at /, for it is what somebody looks for.
func load() map[string]*asset {
	all := map[string]*asset{}
	err := fs.WalkDir(embedded, "assets", func(name string, d fs.DirEntry, err error) error {
		kind := types[path.Ext(name)]
		if err != nil || d.IsDir() || kind == "" {
			return err
		}
		content, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		at := "/" + name
		if name == "assets/index.html" {
			at = "/"
		}
		all[at] = &asset{content, kind, fmt.Sprintf(`"%x"`, sha256.Sum256(content))}
		return nil
	})
	if err != nil {
		panic(err) // of files that are part of the binary: a test has it
	}
	return all
}

// ServeHTTP answers with the file. Browsers keep it, and ask each time whether it is still the
// same: after an upgrade the page and its parts must fit together.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/afxlb/afxlb/internal/events"
)

const shipped = "../../docs/openapi.json"

var update = flag.Bool("update", false, "write docs/openapi.json, and the kinds of events into docs/API.md")

// The document that is shipped is the one that is served.
func TestDocumentIsShipped(t *testing.T) {
	want, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(shipped, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(shipped)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("docs/openapi.json is not what /v1/openapi.json answers: run make generate (%v)", err)
	}
	r := httptest.NewRecorder()
	handlerOf(fixed{}, anybody).ServeHTTP(r, httptest.NewRequest("GET", "/v1/openapi.json", nil))
	if !bytes.Equal(r.Body.Bytes(), want) || r.Header().Get("Content-Type") != "application/openapi+json" {
		t.Errorf("/v1/openapi.json: %d, %d bytes, want %d", r.Code, r.Body.Len(), len(want))
	}
}

// docs/API.md has all kinds of events, and what each means.
func TestKindsAreDocumented(t *testing.T) {
	const page, begin, end = "../../docs/API.md", "make generate -->\n", "<!-- end -->"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(b), begin)
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatal("the page has no place for them")
	}
	table := "| kind | |\n|---|---|\n"
	for _, k := range events.Kinds {
		table += fmt.Sprintf("| `%s` | %s |\n", k.Kind, k.Help)
	}
	want := before + begin + table + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Error("docs/API.md has not the kinds of events that there are: run make generate")
	}
}

// document is what this test reads of the API's description.
type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		Summary    string
		Parameters []struct{ Name, Description string }
		Responses  map[string]struct{ Content map[string]any }
	}
}

// described is a validator of what the document says of answers.
type described struct {
	document
	schemas *jsonschema.Compiler
}

func readDocument(t *testing.T) *described {
	t.Helper()
	b, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	f := &described{schemas: jsonschema.NewCompiler()}
	if err := json.Unmarshal(b, &f.document); err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err == nil {
		f.schemas.DefaultDraft(jsonschema.Draft2020) // OpenAPI 3.1's
		err = f.schemas.AddResource("openapi.json", tree)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// holds holds an answer against the document.
func (f *described) holds(path, method, status string, r *httptest.ResponseRecorder) error {
	kind, _, _ := strings.Cut(r.Header().Get("Content-Type"), ";")
	if f.Paths[path][method].Responses[status].Content[kind] == nil {
		return errors.New("the document has no " + kind + " for it")
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace
	schema, err := f.schemas.Compile("openapi.json#/paths/" + escape(path) + "/" + method + "/responses/" + status + "/content/" + escape(kind) + "/schema")
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(r.Body)
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// Each endpoint of the document answers as documented, with much and with nothing, and
// refuses what it does not know as documented.
func TestEndpointsAnswerAsDocumented(t *testing.T) {
	f := readDocument(t)
	if !strings.HasPrefix(f.OpenAPI, "3.1.") || len(f.Paths) < 6 {
		t.Fatalf("OpenAPI %q, %d paths", f.OpenAPI, len(f.Paths))
	}
	for path, methods := range f.Paths {
		for method, op := range methods {
			name := method + " " + path
			if op.Summary == "" {
				t.Errorf("%s has no summary", name)
			}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s: %s has no description", name, p.Name)
				}
			}
			if op.Responses["200"].Content["application/json"] == nil {
				continue // a stream: TestStreamsAreAsDocumented
			}
			for what, src := range map[string]Source{"much": fixed{}, "nothing": starting{}} {
				r := answerTo(src, method, path)
				if r.Code != 200 {
					t.Errorf("%s of %s: %d %s", name, what, r.Code, r.Body)
				} else if err := f.holds(path, method, "200", r); err != nil {
					t.Errorf("%s of %s: %v", name, what, err)
				}
			}
			r := answerTo(fixed{}, method, path+"?nonsense=1")
			if err := f.holds(path, method, "default", r); r.Code != 422 || err != nil {
				t.Errorf("%s of nonsense: %d, %v", name, r.Code, err)
			}
		}
	}
}

// starting is a Source that has nothing yet but a state.
type starting struct{ empty }

func (starting) Status() Status {
	return Status{State: StateStarting, Driver: "native", Poll: "adaptive"}
}

func answerTo(src Source, method, path string) *httptest.ResponseRecorder {
	r, ask := httptest.NewRecorder(), httptest.NewRequest(strings.ToUpper(method), path, nil)
	switch at, _, _ := strings.Cut(path, "?"); at {
	case "/v1/trace":
		ask = httptest.NewRequest("GET", at+"?packet=tcp&"+strings.TrimPrefix(path, at+"?"), nil)
		ask.URL.RawQuery = strings.TrimSuffix(ask.URL.RawQuery, "&/v1/trace")
	case "/v1/plan":
		ask = httptest.NewRequest("POST", path, strings.NewReader("services: []"))
	case "/v1/backends/change":
		ask = httptest.NewRequest("POST", path, strings.NewReader(`{"service": "web", "backend": "a", "action": "drain"}`))
	}
	ask.Header.Set("Accept", "application/json")
	handlerOf(src, anybody).ServeHTTP(r, ask)
	return r
}

// The test above must see what is not as documented.
func TestDocumentIsHeldAgainstAnswers(t *testing.T) {
	f := readDocument(t)
	for name, body := range map[string]string{
		"another type": `[{"name": 5}]`, "a field less": `[{"name": "web"}]`, "null": `null`, "no list": `{}`,
	} {
		r := httptest.NewRecorder()
		r.Header().Set("Content-Type", "application/json")
		r.WriteHeader(http.StatusOK)
		_, _ = r.WriteString(body)
		if f.holds("/v1/services", "get", "200", r) == nil {
			t.Errorf("%s: taken for what is documented", name)
		}
	}
}

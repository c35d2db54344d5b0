package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// schema returns a validator of the schema as it is shipped, which is another library's.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("afxlb.schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("afxlb.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// fits holds a file against the schema, as an editor does.
func fits(s *jsonschema.Schema, data []byte) error {
	var content any
	if err := yaml.Unmarshal(data, &content); err != nil {
		return err
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if content, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return err
	}
	return s.Validate(content)
}

// TestSchemaTakesWhatIsRight: each file that people are shown.
func TestSchemaTakesWhatIsRight(t *testing.T) {
	s := schema(t)
	pages, _ := filepath.Glob("../../docs/*.md")
	n := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			if !strings.Contains(string(block[1]), "services:") {
				continue
			}
			n++
			if err := fits(s, block[1]); err != nil {
				t.Errorf("%s: %v\n%s", page, err, block[1])
			}
		}
	}
	example, err := os.ReadFile("../../packaging/afxlb.example.yaml")
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	for name, data := range map[string][]byte{
		"example": example, "uncommented": uncomment(example),
		"numbers": []byte(`{queues: 0, cpus: 3, services: [{name: 1, address: 192.0.2.1, port: "80", drain-time: 0, backends: [{address: 10.0.0.1, port: "8080", weight: "3"}]}]}`),
		"defaults": []byte(`{defaults: {mode: gue, gue: {variant: "1", checksum: "true"}, persistence: {timeout: 1m}, health: {expect: 200}},
services: [{name: a, address: "2001:db8::", port: 8000-8099, persistence: {group: x}, health: {type: none}, tunnel-source: [10.0.0.1, "2001:db8:1::/64"], backends: []},
{name: b, address: 192.0.2.1, port: any, mode: dsr, persistence: none, tunnel-source: auto, algorithm: p2c, backends: []}]}`),
		"neighbours": []byte("neighbours: {10.0.0.1: 02:00:00:00:00:0b, 2001:db8::1: {mac: 02-00-00-00-00-0b, tags: [5, 802.1ad:100], mtu: 1400, port: eth0}}\nservices: []\n"),
	} {
		if err := fits(s, data); err != nil {
			t.Errorf("%s: the schema: %v", name, err)
		}
		if name == "defaults" {
			data = []byte(strings.Replace(string(data), "tunnel-source: auto, ", "", 1)) // not of dsr
		}
		if _, err := Parse(name, data); err != nil {
			t.Errorf("check: %v", err)
		}
	}
}

// TestSchemaTakesAllThatParseTakes is by any Spec there can be.
func TestSchemaTakesAllThatParseTakes(t *testing.T) {
	s := schema(t)
	rapid.Check(t, func(t *rapid.T) {
		file := render(specs(3).Draw(t, "spec"))
		if err := fits(s, []byte(file)); err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
	})
}

// TestSchemaRefusesWhatHasNoShape breaks one value of a right file in a way that shows
// without a look at any other: both refuse it.
func TestSchemaRefusesWhatHasNoShape(t *testing.T) {
	s := schema(t)
	rapid.Check(t, func(t *rapid.T) {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(render(specs(3).Draw(t, "spec"))), &root); err != nil {
			t.Fatal(err)
		}
		what := breakOne(t, root.Content[0])
		file, err := yaml.Marshal(&root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f", file); err == nil {
			t.Fatalf("check takes %s\n%s", what, file)
		}
		if err := fits(s, file); err == nil {
			t.Fatalf("the schema takes %s\n%s", what, file)
		}
	})
}

// breakOne changes a value or key somewhere below a mapping, and says how.
func breakOne(t *rapid.T, root *yaml.Node) string {
	var mappings []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
			mappings = append(mappings, n)
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(root)
	n := rapid.SampledFrom(mappings).Draw(t, "mapping")
	i := 2 * rapid.IntRange(0, len(n.Content)/2-1).Draw(t, "key")
	key, v := n.Content[i].Value, n.Content[i+1]
	switch rapid.IntRange(0, 3).Draw(t, "way") {
	case 0:
		n.Content[i].Value += "x"
		return fmt.Sprintf("the key %sx", key)
	case 1:
		*v = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
		return key + " without a value"
	case 2:
		switch {
		case key == "tunnel-source" || key == "expect" || key == "source": // which take both
			*v = yaml.Node{Kind: yaml.MappingNode}
		case v.Kind == yaml.ScalarNode:
			*v = yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: v.Value}}}
		default:
			*v = yaml.Node{Kind: yaml.ScalarNode, Value: "1"}
		}
		return key + " of another kind"
	}
	switch key {
	case "name", "path", "host", "body", "group", "expect", "send", "ca", "answer", "services", "backends", "health", "gue", "persistence": // which any word may be, or none
		v.Kind, v.Value, v.Tag, v.Content = yaml.ScalarNode, "", "", nil
		v.Style = yaml.DoubleQuotedStyle
	case "max-conns": // for which 70000 is not too much
		*v = yaml.Node{Kind: yaml.ScalarNode, Value: rapid.SampledFrom([]string{"nonsense", "-1", "1.5", "!"}).Draw(t, "word")}
	default:
		*v = yaml.Node{Kind: yaml.ScalarNode, Value: rapid.SampledFrom([]string{"nonsense", "-1", "1.5", "70000", "!"}).Draw(t, "word")}
	}
	return fmt.Sprintf("%s: %s", key, v.Value)
}

package config

import (
	"encoding/json"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema returns the JSON Schema (2020-12) of the file, for editors. It comes from the
// tables that the file is read by. What [Parse] accepts is valid by it; what the keys of
// a file mean together it does not say.
func Schema() []byte {
	root := looks{block: topKeys.settings}.build()
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "afxlb's config file"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // nothing in it depends on anything
	}
	return append(text, '\n')
}

// build returns the schema of what looks so. Each is a tree of its own.
func (l looks) build() *jsonschema.Schema {
	s := l.schema.CloneSchemas()
	switch {
	case l.block == nil:
	case l.any != nil:
		one := object(l.block())
		s = &jsonschema.Schema{
			Type: "object", PropertyNames: address.schema.CloneSchemas(),
			AdditionalProperties: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{l.any.build(), one}},
		}
	default:
		s = object(l.block())
	}
	if l.list {
		s = &jsonschema.Schema{Type: "array", Items: s}
	}
	if len(l.also) > 0 {
		s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Enum: l.also}}}
	}
	return s
}

// object returns the schema of a mapping with these keys and no other.
func object(settings []setting) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
	for _, k := range settings {
		p := k.build()
		p.Description = k.sentence()
		s.Properties[k.name] = p
		if k.required != "" {
			s.Required = append(s.Required, k.name)
		}
	}
	return s
}

// sentence says what a key is for and what holds without it.
func (k *setting) sentence() string {
	about := strings.ToUpper(k.about[:1]) + k.about[1:]
	if k.unset != "" {
		about += ". Default: " + k.unset
	}
	return about + "."
}

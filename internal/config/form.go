package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

// form is a form of values: how one is read into a T, what it looks like, and how two are
// told apart. That the first two agree is held by a test of the schema.
type form[T any] struct {
	read func(value, *T)
	diff differ[T] // nil: others tell
	looks
}

// looks are what values look like, to people and to their editors.
type looks struct {
	words  string             // as in "a whole number from 1 to 65535"
	schema *jsonschema.Schema // of a single value or of what block and list do not say
	block  func() []setting   // the keys of a mapping
	list   bool               // it is a list of what the rest says
	also   []any              // words that may stand for all that
	any    *looks             // not block's keys, but any, whose values are this or block
}

// setting is a key, whatever it is read into.
type setting struct {
	name, required, unset, about string
	restart                      bool
	looks
}

// single is the form of single values that parse reads and a pattern describes.
func single[T any](words, pattern string, parse func(string) (T, error)) form[T] {
	return form[T]{
		read:  func(v value, dst *T) { set(v, dst, parse) },
		diff:  whole(show[T]),
		looks: looks{words: words, schema: &jsonschema.Schema{Types: []string{"string"}, Pattern: pattern}},
	}
}

// bare has editors take a number from low to high without quotes, which is one to YAML.
func (f form[T]) bare(low, high int) form[T] {
	f.schema.Types = []string{"integer", "string"}
	f.schema.Minimum, f.schema.Maximum = jsonschema.Ptr(float64(low)), jsonschema.Ptr(float64(high))
	return f
}

// text is the form of what is a name or a sentence. What it is to YAML does not matter.
var text = func() form[string] {
	f := single("text", `.`, parseText)
	f.schema.Types = []string{"string", "number", "boolean"}
	return f
}()

// number is the form of whole numbers from low to high.
func number[T int | uint16 | uint32](low, high int) form[T] {
	return single(fmt.Sprintf("a whole number from %d to %d", low, high), `^(0|[1-9][0-9]*)$`, parseNumber[T](low, high)).bare(low, high)
}

// values has editors take these alone, which are all that there are.
func (f form[T]) values(all ...any) form[T] {
	f.schema = &jsonschema.Schema{Enum: all}
	return f
}

// duration is the form of durations from low to high.
func duration(low, high time.Duration) form[time.Duration] {
	f := single(fmt.Sprintf("a duration from %s to %s", brief(low), brief(high)),
		`^[+-]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`, parseDuration(low, high))
	if low == 0 {
		return f.bare(0, 0) // the only number that needs no unit
	}
	return f
}

// brief returns a duration without what is 0 of it, as in 720h.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// choice is the form of names, which are those that the error about another one lists, but
// for some, and with other words for them that are taken too.
func choice[T any](parse func(string) (T, error), except, also []string) form[T] {
	_, err := parse("")
	var unknown *balancer.UnknownNameError
	if !errors.As(err, &unknown) {
		panic(fmt.Sprintf("the error about no name is %v", err))
	}
	var names []string
	var all []any
	for _, name := range unknown.Known {
		if !slices.Contains(except, name) {
			names, all = append(names, name), append(all, name)
		}
	}
	for _, name := range also {
		all = append(all, name)
	}
	f := single("one of: "+strings.Join(names, ", "), "", parse)
	f.schema = &jsonschema.Schema{Enum: all}
	return f
}

// block is the form of a mapping. If there is more to it than its keys, read reads it.
func block[T any](known keys[T], read func(value, *T)) form[T] {
	if read == nil {
		read = func(v value, dst *T) { mapping(v, dst, known) }
	}
	return form[T]{read: read, diff: known.diff, looks: looks{words: "keys with values", block: func() []setting { return known.settings() }}}
}

// listOf is the form of lists. Two lists of mappings are for others to tell apart, who know
// which elements are the same.
func listOf[T any](f form[T]) form[[]T] {
	list := form[[]T]{read: func(v value, dst *[]T) { *dst = sequence(v, f.read) }, looks: f.looks}
	if f.block == nil {
		list.diff = whole(show[[]T])
	}
	list.list = true
	list.words = "a list, each " + f.words
	return list
}

// oneOr is the form of what is a list or, short, its only element.
func oneOr[T any](f form[T]) form[[]T] {
	list := listOf(f)
	list.list = false
	list.words = f.words + ", or a list of such"
	list.schema = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		f.schema.CloneSchemas(), {Type: "array", Items: f.schema.CloneSchemas()},
	}}
	read := list.read
	list.read = func(v value, dst *[]T) {
		if v.node.Kind == yaml.SequenceNode {
			read(v, dst)
			return
		}
		var one T
		f.read(v, &one)
		*dst = []T{one}
	}
	return list
}

// or is the form with words that read knows, too.
func (f form[T]) or(words ...string) form[T] {
	for _, w := range words {
		f.also = append(f.also, w)
	}
	f.words = strings.Join(words, ", ") + ", or " + f.words
	return f
}

// into is a form that is read into a part of a T.
func into[T, P any](part func(*T) *P, f form[P]) form[T] {
	return form[T]{read: func(v value, dst *T) { f.read(v, part(dst)) }, diff: partly(part, f.diff), looks: f.looks}
}

// settings are the keys of the table.
func (ks keys[T]) settings() []setting {
	list := make([]setting, len(ks))
	for i, k := range ks {
		list[i] = setting{k.name, k.required, k.unset, k.about, k.restart, k.form.looks}
	}
	return list
}

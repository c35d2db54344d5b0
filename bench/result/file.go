package result

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// File is one run, or several merged.
type File struct {
	Machine Machine       `json:"machine"`
	Commit  string        `json:"commit"`
	Command []string      `json:"command"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Notes   []string      `json:"notes,omitempty"` // what a reader must know, such as absent peers
	Cases   []*Case       `json:"cases"`           // in the order measured
}

// Case is one thing measured under one set of conditions. Suite and Name identify it,
// in this file and in others.
type Case struct {
	Suite   string            `json:"suite"` // the subcommand: engine, live, ...
	Name    string            `json:"name"`  // for people: "nat ipv4 64B 100k"
	Table   string            `json:"table"` // heading under which it is shown
	Labels  map[string]string `json:"labels,omitempty"`
	Figures []*Figure         `json:"figures"` // the first is the headline
}

// Figure is one quantity.
type Figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"` // ns, packets/s, B, ...; empty for a ratio
	More   bool      `json:"more_is_better,omitempty"`
	Detail bool      `json:"detail,omitempty"` // of interest to few: not for a terminal
	Values []float64 `json:"values"`           // one a round
}

// Value is a figure in one round.
type Value struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	More   bool    `json:"more_is_better,omitempty"`
	Detail bool    `json:"detail,omitempty"`
	V      float64 `json:"v"`
}

// Sample is what one round of a case has found.
type Sample struct {
	Suite  string            `json:"suite"`
	Name   string            `json:"name"`
	Table  string            `json:"table"`
	Labels map[string]string `json:"labels,omitempty"`
	Values []Value           `json:"values"`
}

// Add files a sample with those of the earlier rounds.
func (f *File) Add(s Sample) {
	c := f.Case(s.Suite, s.Name)
	if c == nil {
		c = &Case{Suite: s.Suite, Name: s.Name, Table: s.Table, Labels: s.Labels}
		f.Cases = append(f.Cases, c)
	}
	for _, v := range s.Values {
		g := c.Figure(v.Name)
		if g == nil {
			g = &Figure{Name: v.Name, Unit: v.Unit, More: v.More, Detail: v.Detail}
			c.Figures = append(c.Figures, g)
		}
		g.Values = append(g.Values, v.V)
	}
}

// Case returns the named case, nil if there is none.
func (f *File) Case(suite, name string) *Case {
	i := slices.IndexFunc(f.Cases, func(c *Case) bool { return c.Suite == suite && c.Name == name })
	if i < 0 {
		return nil
	}
	return f.Cases[i]
}

// Figure returns the named figure, nil if there is none.
func (c *Case) Figure(name string) *Figure {
	i := slices.IndexFunc(c.Figures, func(g *Figure) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return c.Figures[i]
}

// Load reads a file that [File.Save] wrote.
func Load(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	f := new(File)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("read results from %s: %w", path, err)
	}
	return f, nil
}

// Save writes the file.
func (f *File) Save(path string) error {
	b, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// Merge adds the cases and notes of o, which keep their place behind those of f.
// A case that both have is an error: its rounds would come from two runs.
func (f *File) Merge(o *File) error {
	for _, c := range o.Cases {
		if f.Case(c.Suite, c.Name) != nil {
			return fmt.Errorf("merge results: %s %q is in both", c.Suite, c.Name)
		}
	}
	f.Cases = append(f.Cases, o.Cases...)
	f.Notes = append(f.Notes, o.Notes...)
	f.Took += o.Took
	return nil
}

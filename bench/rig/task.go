package rig

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
)

// Suite is the name under which results are filed.
const Suite = "engine"

// Task is what one child process does.
type Task struct {
	Kind    Kind
	Config  Config
	Sizes   []traffic.Sizes // known flows: each of them
	New     []float64       // known flows: each of these shares of new ones
	Packets int             // a measurement
	Rounds  int
	Pause   time.Duration // how long the longest batch is looked for
}

// Kind is the kind of a task.
type Kind string

// The kinds.
const (
	Known    Kind = "known"    // packets of known flows
	Mixed    Kind = "mixed"    // new flows among them
	Parallel Kind = "parallel" // several workers
	Fresh    Kind = "fresh"    // new flows into an empty table
	Pauses   Kind = "pauses"   // the longest batches
	Memory   Kind = "memory"   // of a flow
)

// String names the task for people, and for the flag that chooses tasks.
func (t *Task) String() string {
	n := t.Config.Flows
	if t.Kind == Fresh {
		n = t.Packets
	}
	return fmt.Sprintf("%s %s %s %s", t.Kind, t.Config.Mode, t.Config.Family, Count(n))
}

// Count writes a number as people say it: 1k, 10M.
func Count(n int) string {
	switch {
	case n >= 1e6 && n%1e6 == 0:
		return fmt.Sprintf("%dM", n/1e6)
	case n >= 1e3 && n%1e3 == 0:
		return fmt.Sprintf("%dk", n/1e3)
	}
	return fmt.Sprint(n)
}

// Serve does a task in a child process.
func Serve(body json.RawMessage, out *child.Out) error {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	if n := t.Config.Workers + 1; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n) // as the engine does
	}
	switch t.Kind {
	case Known, Mixed:
		return t.known(out)
	case Parallel:
		return t.parallel(out)
	case Fresh:
		return t.fresh(out)
	case Pauses:
		return t.pause(out)
	case Memory:
		return t.memory(out)
	}
	return fmt.Errorf("task of unknown kind %q", t.Kind)
}

// sample returns a sample of this task, with the labels that all have.
func (t *Task) sample(table, name string, values ...result.Value) result.Sample {
	return result.Sample{
		Suite: Suite, Table: table, Name: name, Values: values,
		Labels: map[string]string{"mode": t.Config.Mode, "family": string(t.Config.Family), "flows": fmt.Sprint(t.Config.Flows)},
	}
}

package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/bench/result"
)

func TestMain(m *testing.M) {
	Main(map[string]Handler{
		"echo": func(task json.RawMessage, out *Out) error {
			var s string
			if err := json.Unmarshal(task, &s); err != nil {
				return err
			}
			out.Progress("half way")
			out.Sample(result.Sample{Name: s, Values: []result.Value{{Name: "pid", V: float64(os.Getpid())}}})
			return nil
		},
		"fail": func(json.RawMessage, *Out) error { return errors.New("no frame to receive into") },
		"nan": func(_ json.RawMessage, out *Out) error {
			out.Sample(result.Sample{Name: "no time", Values: []result.Value{{Name: "rate", V: math.NaN()}}})
			return nil
		},
		"die":   func(json.RawMessage, *Out) error { os.Exit(7); return nil },
		"stall": func(_ json.RawMessage, out *Out) error { out.Progress("stalled"); select {} },
	})
	os.Exit(m.Run())
}

// log gathers what a child tells.
type log struct {
	progress []string
	samples  []result.Sample
}

func (l *log) run(ctx context.Context, handler string, task any) error {
	return Run(ctx, handler, task,
		func(s string) { l.progress = append(l.progress, s) },
		func(s result.Sample) { l.samples = append(l.samples, s) })
}

func TestRun(t *testing.T) {
	var l log
	if err := l.run(t.Context(), "echo", "some case"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"half way"}, l.progress); d != "" {
		t.Error(d)
	}
	if len(l.samples) != 1 || l.samples[0].Name != "some case" {
		t.Fatalf("samples %+v", l.samples)
	}
	if pid := int(l.samples[0].Values[0].V); pid == os.Getpid() || pid == 0 {
		t.Errorf("the task was done by process %d, which is this one", pid)
	}
}

func TestErrors(t *testing.T) {
	for handler, want := range map[string]string{
		"fail":    "no frame to receive into",
		"nan":     `sample "no time": json: unsupported value: NaN`,
		"die":     "exit status 7",
		"unknown": "no handler of that name",
	} {
		var l log
		if err := l.run(t.Context(), handler, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", handler, err, want)
		}
	}
	if err := new(log).run(t.Context(), "echo", func() {}); err == nil {
		t.Error("a task that can't be written was done")
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Run(ctx, "stall", 0, func(string) { cancel() }, func(result.Sample) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a child that was stopped ended with %v", err)
	}
}

func TestListen(t *testing.T) {
	var l log
	for in, want := range map[string]string{
		"":                              "unexpected EOF", // died without a word
		`{"progress":"x"}`:              "unexpected EOF",
		`{"progress":`:                  "read from child",
		`panic: oh no`:                  "read from child",
		`{"error":"x"}`:                 "x",
		`{"done":true} rubbish`:         "<nil>",
		`{"progress":"x"}{"done":true}`: "<nil>",
	} {
		err := listen(strings.NewReader(in), func(s string) { l.progress = append(l.progress, s) }, nil)
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

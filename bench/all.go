package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/afxlb/afxlb/bench/contest"
	"github.com/afxlb/afxlb/bench/control"
	"github.com/afxlb/afxlb/bench/live"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/rig"
)

// suite is a measuring subcommand.
type suite struct {
	name  string
	lab   bool // of namespaces, so root's, with the daemon in it
	run   func(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error
	quick []string // flags
}

var suites = []suite{
	{rig.Suite, false, runEngine, []string{"-quick"}},
	{live.Suite, true, runLive, []string{"-quick"}},
	{contest.LatencySuite, true, runLatency, []string{"-time", "50ms"}},
	{contest.ConnectionsSuite, true, runConnections, []string{"-time", "50ms"}},
	{control.Suite, true, runControl, []string{"-quick"}},
}

// runAll does what each measuring subcommand does by itself, one after the other, and
// merges what they have found. One that fails does not keep the next from its turn.
func runAll(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	var (
		quick  = fs.Bool("quick", false, "a little of everything: shows that it works, not how fast it is")
		rounds = fs.Int("rounds", 3, "measure each case so many `times`")
		afxlb  = fs.String("afxlb", "dist/bench/afxlb", "the daemon's `program`")
		dir    = fs.String("o", "dist/bench", "write results and report to this `directory`")
	)
	if done, err := parse(fs, args, stdout); done {
		return err
	}
	if fs.NArg() > 0 {
		return misused(fs, "what is %q?", fs.Arg(0))
	}
	if *rounds < 1 {
		return misused(fs, "want a round at least")
	}
	var all *result.File
	var failed []error
	for i, s := range suites {
		fmt.Fprintf(stderr, "%d/%d  %s\n", i+1, len(suites), s.name)
		args := []string{"-o", *dir, "-rounds", strconv.Itoa(*rounds)}
		if s.lab {
			args = append(args, "-afxlb", *afxlb)
		}
		if *quick {
			args = append(args, s.quick...)
		}
		f, err := s.measure(ctx, args, *dir, stderr)
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
		case all == nil:
			all = f
		default:
			if err := all.Merge(f); err != nil {
				return err
			}
		}
	}
	if all == nil {
		return errors.Join(failed...)
	}
	all.Command = slices.Clone(os.Args)
	for _, err := range failed {
		all.Notes = append(all.Notes, "failed: "+err.Error())
	}
	return errors.Join(append(failed, publish(all, *dir, "all", stdout))...)
}

// measure runs a suite and returns what it has found.
func (s suite) measure(ctx context.Context, args []string, dir string, stderr io.Writer) (*result.File, error) {
	fs := flag.NewFlagSet(s.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	if err := s.run(ctx, fs, args, io.Discard, stderr); err != nil {
		return nil, err
	}
	return result.Load(filepath.Join(dir, s.name+".json"))
}

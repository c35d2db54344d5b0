package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/afxlb/afxlb/bench/contest"
	"github.com/afxlb/afxlb/bench/result"
)

func runLatency(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	return runContest(ctx, fs, args, stdout, stderr, contest.LatencySuite, 700*time.Millisecond, contest.Latency)
}

func runConnections(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	return runContest(ctx, fs, args, stdout, stderr, contest.ConnectionsSuite, 800*time.Millisecond, contest.Connections)
}

// runContest runs one of the suites in which balancers are held against each other.
func runContest(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer, suite string, long time.Duration, run func(context.Context, contest.Plan) error) error {
	var (
		rounds = fs.Int("rounds", 5, "measure each case so many `times`")
		each   = fs.Duration("time", long, "how long a measurement takes, those beside a load half of it; for a p99.99 that means something, take 3s")
		only   = fs.String("only", "", "let only those take part whose names match this `regexp`, and the straight wire")
		afxlb  = fs.String("afxlb", "dist/bench/afxlb", "the daemon's `program`")
		dir    = fs.String("o", "dist/bench", "write result and report to this `directory`")
	)
	if done, err := parse(fs, args, stdout); done {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return misused(fs, "-only: %v", err)
	}
	if fs.NArg() > 0 {
		return misused(fs, "what is %q?", fs.Arg(0))
	}
	if *rounds < 1 || *each <= 0 {
		return misused(fs, "want a round at least, and some time for it")
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces are made by root only: run it as root")
	}
	field, notes, err := contest.Field(*afxlb)
	if err != nil {
		return err
	}
	r, err := newRecorder(suite, *dir, stdout, stderr)
	if err != nil {
		return err
	}
	note := func(s string) { r.file.Notes = append(r.file.Notes, suite+": "+s) }
	for _, s := range notes {
		note(s)
	}
	err = run(ctx, contest.Plan{
		Field: field, Only: match, Rounds: *rounds, Time: *each, Progress: r.progress, Note: note,
		Sample: func(s result.Sample) { r.file.Add(s) },
	})
	if err != nil {
		r.progress("")
		return fmt.Errorf("%s: %w", suite, err)
	}
	return r.finish()
}

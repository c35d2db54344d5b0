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

	"github.com/afxlb/afxlb/bench/live"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
)

func runLive(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	var (
		quick  = fs.Bool("quick", false, "a round of few flows: shows that it works, not how fast it is")
		rounds = fs.Int("rounds", 5, "measure each case so many `times`")
		each   = fs.Duration("time", time.Second, "how long a measurement takes")
		only   = fs.String("only", "", "do only the cases whose names match this `regexp`; see -list")
		list   = fs.Bool("list", false, "list the cases, and do nothing")
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
	var cases []live.Case
	for _, c := range live.Cases(*quick) {
		if match.MatchString(c.String()) {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		return misused(fs, "no case matches %q", *only)
	}
	if *list {
		for _, c := range cases {
			fmt.Fprintln(stdout, c)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces are made by root only: run it as root")
	}
	program, err := peer.FindAfxlb(*afxlb)
	if err != nil {
		return err
	}
	r, err := newRecorder(live.Suite, *dir, stdout, stderr)
	if err != nil {
		return err
	}
	note := func(s string) { r.file.Notes = append(r.file.Notes, live.Suite+": "+s) }
	if *quick {
		*rounds, *each = 1, min(*each, 200*time.Millisecond)
		note("a quick run, whose figures mean nothing")
	}
	err = live.Run(ctx, live.Plan{
		Afxlb: program, Rounds: *rounds, Time: *each, Cases: cases, Progress: r.progress, Note: note,
		Sample: func(s result.Sample) { r.file.Add(s) },
	})
	if err != nil {
		r.progress("")
		return fmt.Errorf("%s: %w", live.Suite, err)
	}
	return r.finish()
}

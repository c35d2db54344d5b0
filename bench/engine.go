package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/rig"
)

func runEngine(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	var (
		quick   = fs.Bool("quick", false, "few rounds of small tables, under a minute: shows that it works, not how fast it is")
		full    = fs.Bool("full", false, "every combination, which takes hours; the default leaves out what tells nothing new")
		rounds  = fs.Int("rounds", 0, "measure each case so many `times` (default 5, with -quick 2)")
		packets = fs.Int("packets", 0, "packets in a measurement (default 1000000, with -quick 50000)")
		limit   = fs.Int("max-flows", 0, "flows that the tables have room for (default a quarter more than there are, at least 65536)")
		only    = fs.String("only", "", "do only the tasks whose names match this `regexp`; see -list")
		list    = fs.Bool("list", false, "list the tasks, and do nothing")
		dir     = fs.String("o", "dist/bench", "write result and report to this `directory`")
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
	plan := rig.Plan{Quick: *quick, Full: *full, Rounds: *rounds, Packets: *packets, MaxFlows: *limit}
	var tasks []rig.Task
	for _, t := range plan.Tasks() {
		if match.MatchString(t.String()) {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 {
		return misused(fs, "no task matches %q", *only)
	}
	if *list {
		seen := map[string]bool{} // some are done once a round
		for _, t := range tasks {
			if name := t.String(); !seen[name] {
				seen[name] = true
				fmt.Fprintln(stdout, name)
			}
		}
		return nil
	}
	r, err := newRecorder(rig.Suite, *dir, stdout, stderr)
	if err != nil {
		return err
	}
	if *quick {
		r.file.Notes = append(r.file.Notes, "engine: a quick run, whose figures mean nothing")
	}
	for i, t := range tasks {
		progress := func(s string) { r.progress("%d/%d  %s: %s", i+1, len(tasks), t.String(), s) }
		sample := func(s result.Sample) { r.file.Add(s) }
		if err := child.Run(ctx, rig.Suite, t, progress, sample); err != nil {
			r.progress("")
			return fmt.Errorf("%s: %w", t.String(), err)
		}
	}
	return r.finish()
}

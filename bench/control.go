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

	"github.com/afxlb/afxlb/bench/control"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
)

func runControl(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error {
	large := control.Scene{Interval: 2 * time.Second, Timeout: time.Second}
	var (
		quick   = fs.Bool("quick", false, "a round of a tiny scene: shows that it works, not how fast it is")
		rounds  = fs.Int("rounds", 3, "measure each scene so many `times`")
		each    = fs.Duration("time", 10*time.Second, "how long CPU time is measured for")
		only    = fs.String("only", "", "do only the scenes whose names match this `regexp`, as in ^1000x")
		afxlb   = fs.String("afxlb", "dist/bench/afxlb", "the daemon's `program`")
		against = fs.String("against", "", "another daemon's `program`, to be measured in turn with it")
		dir     = fs.String("o", "dist/bench", "write result and report to this `directory`")
	)
	fs.IntVar(&large.Services, "services", 1000, "services of the large scene")
	fs.IntVar(&large.Backends, "backends", 20, "backends of each service, in all scenes")
	fs.IntVar(&large.Addresses, "addresses", 40, "addresses of the backends, in all scenes")
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
	if err := large.Check(); err != nil {
		return misused(fs, "%v", err)
	}
	p := control.Plan{Rounds: *rounds, Time: *each, Quick: *quick}
	for _, s := range control.Scenes(large, *quick) {
		if match.MatchString(s.String()) {
			p.Scenes = append(p.Scenes, s)
		}
	}
	if len(p.Scenes) == 0 {
		return misused(fs, "no scene matches %q", *only)
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces are made by root only: run it as root")
	}
	r, err := newRecorder(control.Suite, *dir, stdout, stderr)
	if err != nil {
		return err
	}
	p.Progress, p.Sample = r.progress, func(s result.Sample) { r.file.Add(s) }
	p.Note = func(s string) { r.file.Notes = append(r.file.Notes, control.Suite+": "+s) }
	for _, c := range []control.Contender{{Name: "afxlb", Program: *afxlb}, {Name: "against", Program: *against}} {
		if c.Program == "" {
			continue
		}
		if c.Program, err = peer.FindAfxlb(c.Program); err != nil {
			return err
		}
		version, err := peer.AfxlbVersion(c.Program)
		if err != nil {
			return err
		}
		p.Note(c.Name + " is " + version)
		p.Field = append(p.Field, c)
	}
	if *quick {
		p.Rounds, p.Time = 1, min(*each, 300*time.Millisecond)
		p.Note("a quick run, whose figures mean nothing")
	}
	if err := control.Run(ctx, p); err != nil {
		r.progress("")
		return fmt.Errorf("%s: %w", control.Suite, err)
	}
	return r.finish()
}

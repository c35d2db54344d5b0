package main

import (
	"context"
	"flag"
	"io"

	"github.com/afxlb/afxlb/bench/report"
	"github.com/afxlb/afxlb/bench/result"
)

func runCompare(_ context.Context, fs *flag.FlagSet, args []string, stdout, _ io.Writer) error {
	all := fs.Bool("all", false, "every figure, not only each case's headline")
	if done, err := parse(fs, args, stdout); done {
		return err
	}
	if fs.NArg() != 2 {
		return misused(fs, "want two results, have %d", fs.NArg())
	}
	a, err := result.Load(fs.Arg(0))
	if err != nil {
		return err
	}
	b, err := result.Load(fs.Arg(1))
	if err != nil {
		return err
	}
	report.Compare(stdout, a, b, *all)
	return nil
}

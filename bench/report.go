package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/afxlb/afxlb/bench/report"
	"github.com/afxlb/afxlb/bench/result"
)

func runReport(_ context.Context, fs *flag.FlagSet, args []string, stdout, _ io.Writer) error {
	dir := fs.String("o", "", "write the plots and the page to this `directory`; without, only the table is shown")
	if done, err := parse(fs, args, stdout); done {
		return err
	}
	if fs.NArg() == 0 {
		return misused(fs, "which results?")
	}
	f, err := result.Load(fs.Arg(0))
	if err != nil {
		return err
	}
	for _, path := range fs.Args()[1:] {
		more, err := result.Load(path)
		if err != nil {
			return err
		}
		if err := f.Merge(more); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	report.Table(stdout, f)
	if *dir == "" {
		return nil
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return fmt.Errorf("make room for the report: %w", err)
	}
	page, err := report.Write(*dir, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\npage: %s\n", page)
	return nil
}

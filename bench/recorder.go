package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/report"
	"github.com/afxlb/afxlb/bench/result"
)

// recorder is a measuring subcommand's result as it grows, and how far it is.
type recorder struct {
	file           result.File
	begun          time.Time // with the monotonic clock
	suite, dir     string
	stdout, stderr io.Writer
	terminal       bool
}

// newRecorder begins a run of a suite, whose result will be in dir under the suite's
// name.
func newRecorder(suite, dir string, stdout, stderr io.Writer) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // better now than after minutes
		return nil, fmt.Errorf("make room for results: %w", err)
	}
	r := &recorder{suite: suite, dir: dir, begun: time.Now(), stdout: stdout, stderr: stderr}
	r.file = result.File{Machine: result.ThisMachine(), Commit: result.Commit(), Command: os.Args, Started: r.begun.Round(time.Second)}
	if f, ok := stderr.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		r.terminal = err == nil
	}
	return r, nil
}

// progress shows what is being done: on a terminal on one line, else on one each.
func (r *recorder) progress(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if r.terminal {
		fmt.Fprintf(r.stderr, "\r\x1b[K%s", line)
	} else if line != "" {
		fmt.Fprintf(r.stderr, "%4.0f s  %s\n", time.Since(r.begun).Seconds(), line)
	}
}

// finish saves the result, and reports.
func (r *recorder) finish() error {
	r.progress("")
	r.file.Took = time.Since(r.begun)
	return publish(&r.file, r.dir, r.suite, r.stdout)
}

// publish saves a result in dir under a name, and reports.
func publish(f *result.File, dir, name string, stdout io.Writer) error {
	path := filepath.Join(dir, name+".json")
	if err := f.Save(path); err != nil {
		return err
	}
	report.Table(stdout, f)
	page, err := report.Write(dir, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nresult: %s\npage:   %s\n", path, page)
	return nil
}

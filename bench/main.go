// Command bench measures afxlb, each figure against a reference that is measured in
// the same run, and makes reports of what it has found.
//
// Each subcommand is a file of this package; what it measures is a package below.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/control"
	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/forwarder"
	"github.com/afxlb/afxlb/bench/rig"
)

// command is one subcommand.
type command struct {
	name, args, summary string
	run                 func(ctx context.Context, fs *flag.FlagSet, args []string, stdout, stderr io.Writer) error
}

var commands = []command{
	{"all", "[flags]", "do all of the following, in about twenty minutes; without root only the first", runAll},
	{"engine", "[flags]", "measure the workers' pass on rings in memory (no root, no kernel)", runEngine},
	{"live", "[flags]", "measure how many packets afxlb and its peers forward, by CPU second and flooded (root)", runLive},
	{"latency", "[flags]", "measure what afxlb and its peers add to the time of an answer (root)", runLatency},
	{"connections", "[flags]", "measure how many connections and requests a second they carry (root)", runConnections},
	{"control", "[flags]", "measure how fast afxlb's control plane takes changes in, and what it costs (root)", runControl},
	{"report", "[flags] RESULT.json...", "make the table, the plots and the page of results", runReport},
	{"compare", "[flags] A.json B.json", "say what has changed from A to B, case by case", runCompare},
}

// handlers are what child processes of this program can be asked for.
var handlers = map[string]child.Handler{
	rig.Suite: rig.Serve, ends.ServerTask: ends.Serve, ends.ClientTask: ends.Ask, forwarder.Name: forwarder.Serve,
	control.BackendsTask: control.ServeBackends, control.EchoTask: control.SendEcho,
}

// errUsage is a wrong call: the message is out already.
var errUsage = errors.New("wrong usage")

func main() {
	child.Main(handlers)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		usage(stderr)
		return errUsage
	}
	if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		usage(stdout)
		return nil
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		fs.SetOutput(stderr)
		fs.Usage = func() {
			fmt.Fprintf(fs.Output(), "usage: bench %s %s\n\n%s\n\n", c.name, c.args, strings.ToUpper(c.summary[:1])+c.summary[1:]+".")
			fs.PrintDefaults()
		}
		return c.run(ctx, fs, args[1:], stdout, stderr)
	}
	fmt.Fprintf(stderr, "bench: no subcommand %q\n", args[0])
	usage(stderr)
	return errUsage
}

// parse parses the flags; the caller stops on done, which is -h or an error that has
// been told.
func parse(fs *flag.FlagSet, args []string, stdout io.Writer) (done bool, err error) {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			fs.SetOutput(stdout)
		}
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return true, nil
	case err != nil:
		return true, errUsage
	}
	return false, nil
}

// misused tells of a wrong call.
func misused(fs *flag.FlagSet, format string, args ...any) error {
	fmt.Fprintf(fs.Output(), "bench %s: %s\n", fs.Name(), fmt.Sprintf(format, args...))
	fs.Usage()
	return errUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: bench SUBCOMMAND [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nEach has -h.\n")
}

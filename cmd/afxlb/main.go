// Command afxlb is a layer-4 load balancer that forwards packets in user space
// through AF_XDP sockets.
//
// Without a verb it is the daemon. The verbs check, convert, demo, replay and schema stand alone; the
// others read a running daemon through its control socket.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = "dev"

// env is what a command knows of the world outside, so that tests can run
// commands in-process.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	hangup         <-chan os.Signal // SIGHUP: reload
}

func main() {
	// A crash ends by SIGABRT and not by Go's exit code of it, which is 2: that means a wrong
	// config, after which no supervisor starts the balancer again.
	debug.SetTraceback("crash")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, &env{os.Stdin, os.Stdout, os.Stderr, hangup}, os.Args[1:]))
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, e *env, args []string) int {
	own, out := *e, &outlet{to: e.stdout}
	if !isTerminal(e.stdout) { // which is drawn on, and has nobody behind it to be told of a loss
		own.stdout = out
	}
	root := newRoot(&own)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil && !errors.Is(out.err, syscall.EPIPE) { // if nobody reads on, that is how it ends
		err = fmt.Errorf("what was to be printed is not all there: %w", out.err)
	}
	if err != nil && !errors.Is(err, errSaid) {
		fmt.Fprintf(e.stderr, "afxlb: %v\n", err)
	}
	return exitCode(err)
}

// outlet remembers why a write failed first: a file that is cut must not go by for a whole one.
type outlet struct {
	to io.Writer

	mu  sync.Mutex
	err error
}

func (o *outlet) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = cmp.Or(o.err, err)
	return n, err
}

func newRoot(e *env) *cobra.Command {
	root := newDaemon(e)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // completion is the same without powershell
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(
		newCheck(e), newConvert(e), newSchema(e),
		newDemo(e), newReplay(e), newDoctor(e),
		newStatus(e), newServices(e), newBackends(e), newFlows(e), newCounters(e),
		newEvents(e), newTop(e), newTrace(e), newCapture(e),
		newReload(e), newBackend(e),
		newVersion(e), newCompletion(e), newMan(e),
	)
	helpAboutHelp(root)
	completeNames(root)
	return root
}

// helpAboutHelp gives the help verb, which is cobra's, what all verbs have.
func helpAboutHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Example = "  afxlb help check"
		}
	}
}

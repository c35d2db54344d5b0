package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// stop ends the daemon as an operator would, and looks at what it left.
func (d *demo) stop(ctx context.Context) error {
	d.say("\n5. The end: SIGTERM to afxlb, then the lab goes\n\n")
	begun := time.Now()
	if err := d.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop afxlb: %w", err)
	}
	select {
	case <-d.daemon.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(patience):
		return fmt.Errorf("stop afxlb: it still runs %v after SIGTERM", patience)
	}
	wrong := ""
	if d.daemon.err != nil {
		wrong = fmt.Sprintf("expected exit code 0; saw %v", d.daemon.err)
	}
	d.check(fmt.Sprintf("afxlb ends after %.2f s with exit code 0", time.Since(begun).Seconds()), wrong)

	wrong = ""
	if _, err := os.Stat(d.socket()); !errors.Is(err, os.ErrNotExist) {
		wrong = fmt.Sprintf("expected no file %s; saw one (%v)", d.socket(), err)
	}
	d.check("its control socket is gone", wrong)

	link, err := d.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		return fmt.Errorf("look at %s: %w", lab.Interface, err)
	}
	wrong = ""
	if x := link.Attrs().Xdp; x != nil && x.Attached {
		wrong = fmt.Sprintf("expected none; saw program %d", x.ProgId)
	}
	d.check("no XDP program is on "+lab.Interface, wrong)
	return nil
}

// clean takes the lab down and looks for leftovers.
func (d *demo) clean(ctx context.Context) error {
	if err := d.takeDown(); err != nil {
		return err
	}
	// A thread leaves its namespace when it ends, which nobody can wait for.
	var held []string
	err := d.pollEnd(ctx, func() bool {
		held = holders(d.namespaces)
		return held == nil
	})
	if err != nil {
		return err
	}
	wrong := ""
	if held != nil {
		wrong = fmt.Sprintf("expected nobody in them; saw %q", held)
	}
	d.check(fmt.Sprintf("the lab's %d namespaces are gone", len(d.namespaces)), wrong)

	wrong = ""
	if _, err := os.Stat(d.dir); !errors.Is(err, os.ErrNotExist) {
		wrong = fmt.Sprintf("expected no %s; saw it (%v)", d.dir, err)
	}
	d.check("so is the demo's folder", wrong)
	return nil
}

// pollEnd is poll after the daemon's end; when time is up it just returns.
func (d *demo) pollEnd(ctx context.Context, ok func() bool) error {
	for begun := time.Now(); !ok() && time.Since(begun) < patience; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
	return nil
}

// holders returns what keeps a namespace alive: processes in it, and threads and
// files of this one.
func holders(namespaces []string) (list []string) {
	for _, pattern := range []string{"/proc/[0-9]*/ns/net", "/proc/self/task/*/ns/net", "/proc/self/fd/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if to, err := os.Readlink(p); err == nil && slices.Contains(namespaces, to) {
				list = append(list, p)
			}
		}
	}
	return list
}

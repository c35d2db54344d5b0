package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/internal/demo"
	"github.com/afxlb/afxlb/internal/testutil"
)

// runDemo runs the demo with this test binary as the balancer.
func runDemo(ctx context.Context, driver string, out io.Writer) error {
	return demo.Run(ctx, demo.Options{
		Out: out, Executable: "/proc/self/exe", Driver: driver,
		Env: append(os.Environ(), "AFXLB_TEST_MAIN=1"),
	})
}

// leftovers fails the test if the demo left a folder, a namespace or a goroutine.
func leftovers(t *testing.T) {
	t.Helper()
	if dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "afxlb-demo-*")); len(dirs) > 0 {
		t.Errorf("folders are left: %v", dirs)
	}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "net:") {
			t.Errorf("network namespace %s is still held", to)
		}
	}
	goleak.VerifyNone(t)
}

func TestDemo(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	for _, driver := range []string{"native", "asavie"} {
		var out bytes.Buffer
		if err := runDemo(t.Context(), driver, &out); err != nil {
			t.Errorf("demo with %s: %v\n%s", driver, err, out.String())
		}
		for _, want := range []string{"driver " + driver, "weighted-round-robin", "taken out after", "it serves after", "exit code 0", "All went as it should."} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the demo does not show %q:\n%s", want, out.String())
			}
		}
		leftovers(t)
	}
}

// interrupter cancels the demo when a line of its output appears.
type interrupter struct {
	at     string
	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		i.cancel()
	}
	return len(p), nil
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	testutil.RequireRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	for _, at := range []string{"A lab of", "afxlb serves", "is killed", "SIGTERM"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := runDemo(ctx, "native", &interrupter{at, cancel})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at %q: %v", at, err)
		}
		leftovers(t)
	}
}

//go:build vm

package vmlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

const root = "../.."

// patience bounds every wait for one thing in a guest, where all takes some twenty times
// as long.
const patience = 2 * time.Minute

var cache = sync.OnceValues(func() (*Cache, error) { return OpenCache(filepath.Join(root, ".vm")) })

// binaries is the folder of the programs for guests: afxlb, guest.
var binaries = sync.OnceValues(func() (string, error) {
	c, err := cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(c.dir, "bin")
	return dir, goBuild("build", "-o", dir+"/", "./cmd/afxlb", "./internal/vmlab/guest")
})

func goBuild(args ...string) error {
	c := exec.Command("go", append([]string{args[0], "-trimpath", "-ldflags=-s -w"}, args[1:]...)...)
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	_, err := run(c)
	return err
}

// eachKernel runs a test for each kernel of the lab.
func eachKernel(t *testing.T, test func(*testing.T, *Kernel)) {
	testutil.RequireRoot(t)
	for _, pin := range Kernels {
		t.Run(pin.Name, func(t *testing.T) {
			c, err := cache()
			if err != nil {
				t.Fatal(err)
			}
			k, err := c.Kernel(pin)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("Linux %s", k.Release)
			test(t, k)
		})
	}
}

// boot starts a guest for the time of the test. It tells the console if the test fails.
func boot(t *testing.T, on *lab.Host, o Options) *Guest {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache()
	if err != nil {
		t.Fatal(err)
	}
	o.Init, o.Dir = filepath.Join(dir, "guest"), t.TempDir()
	start := time.Now()
	g, err := c.Start(t.Context(), on, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Linux %s is there after %.1f s", g.Release, time.Since(start).Seconds())
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("switch the guest off: %v", err)
		}
		if t.Failed() {
			t.Logf("the guest's console:\n%s", g.Console())
		}
	})
	if g.Release != o.Kernel.Release {
		t.Fatalf("the guest runs Linux %s, not %s", g.Release, o.Kernel.Release)
	}
	return g
}

// in runs a program in a guest that must do what it should, and returns what it printed.
func in(t testing.TB, g *Guest, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("not done after %v", patience))
	defer cancel()
	out, err := g.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

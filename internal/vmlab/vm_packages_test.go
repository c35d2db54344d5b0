//go:build vm

package vmlab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// packages are those whose tests ask the kernel for something.
var packages = []string{"bpf", "xsk", "xsk/xsktest", "internal/lab", "internal/egress", "internal/nic", "internal/punt", "engine", "engine/conntrack"}

// packageTime bounds the tests of one package.
const packageTime = 15 * time.Minute

// packageModules are what the tests need; a plain machine has it built in.
var packageModules = []string{"veth", "bridge", "tun", "macvlan", "8021q", "sch_tbf", "sch_ingress", "sch_fq_codel"}

// dashed is a package's path as one name.
func dashed(pkg string) string { return strings.ReplaceAll(pkg, "/", "-") }

// testBinary compiles the tests of a package, with further arguments of go test.
func testBinary(pkg string, args ...string) (string, error) {
	c, err := cache()
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.dir, "bin", dashed(pkg)+".test")
	return file, goBuild(slices.Concat([]string{"test", "-c", "-o", file}, args, []string{"./" + pkg})...)
}

// TestPackages runs the project's own tests on each kernel, one guest for all packages.
func TestPackages(t *testing.T) {
	eachKernel(t, func(t *testing.T, k *Kernel) {
		h, err := lab.NewHost("machine")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		files := map[string]string{}
		for _, p := range packages {
			file, err := testBinary(p)
			if err != nil {
				t.Fatal(err)
			}
			files["test/"+filepath.Base(file)] = file
		}
		g := boot(t, h, Options{Kernel: k, Memory: 3072, Image: Image{Modules: packageModules, Files: files}})
		for _, p := range packages {
			t.Run(dashed(p), func(t *testing.T) { runTests(t, g, p) })
		}
	})
}

// runTests runs the tests of a package, with further arguments, and tells what they print if
// they fail.
func runTests(t *testing.T, g *Guest, pkg string, more ...string) {
	var out output
	binary := "/test/" + dashed(pkg) + ".test"
	// Two minutes less, so that it is the test that tells where it hangs.
	args := []string{binary, "-test.v", "-test.short", fmt.Sprint("-test.timeout=", packageTime-2*time.Minute)}
	p, err := g.Client.Start(&out, append(args, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), packageTime, fmt.Errorf("not done after %v", packageTime))
	defer cancel()
	code, err := p.Wait(ctx)
	text := out.String()
	t.Logf("%d tests passed, %d failed, %d do not apply", strings.Count(text, "\n--- PASS"), strings.Count(text, "\n--- FAIL"), strings.Count(text, "\n--- SKIP"))
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v\n%s", code, err, failures(text))
	}
}

// output is a buffer that may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

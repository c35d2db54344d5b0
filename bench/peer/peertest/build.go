// Package peertest gives tests what they need to run contenders.
package peertest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/afxlb/afxlb/bench/peer"
)

// Afxlb builds the daemon from this source, and returns its path.
func Afxlb(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "afxlb")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/afxlb/afxlb/cmd/afxlb").CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v\n%s", err, out)
	}
	return path
}

// Find returns a program's path. A test that needs one which is absent is skipped, and
// says so: peers are optional.
func Find(t testing.TB, p peer.Program) string {
	t.Helper()
	path, err := p.Find()
	if errors.Is(err, peer.ErrAbsent) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

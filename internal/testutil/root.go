// Package testutil holds what the tests of several packages share.
package testutil

import (
	"os"
	"testing"
)

// RequireRoot ends a test that needs root where there is none: it fails when
// root tests were asked for (AFXLB_ROOT_TESTS=1, as `make test` does), so that
// a run without privileges can't look green, and skips otherwise.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("AFXLB_ROOT_TESTS") != "" {
		t.Fatal("this test makes network namespaces and loads BPF: run it as root (AFXLB_ROOT_TESTS is set, so it must not be skipped)")
	}
	t.Skip("needs root; `make test` runs it")
}

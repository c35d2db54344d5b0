package testutil

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// RequireLinux ends a test of something that the kernel has only from a version on,
// where this one is older: there the test does not apply. On all later kernels it must
// pass. what says what is missing.
func RequireLinux(t testing.TB, major, minor int, what string) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatalf("ask for the kernel's version: %v", err)
	}
	release := strings.TrimSpace(string(text))
	older, err := olderThan(release, major, minor)
	if err != nil {
		t.Fatal(err)
	}
	if older {
		t.Skipf("does not apply: Linux %d.%d has %s, and this is %s", major, minor, what, release)
	}
}

// olderThan compares a kernel's release, as uname(2) has it, with a version.
func olderThan(release string, major, minor int) (bool, error) {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false, fmt.Errorf("kernel release %q: want it to begin with two numbers: %w", release, err)
	}
	return a < major || a == major && b < minor, nil
}

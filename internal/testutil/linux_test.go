package testutil

import "testing"

func TestOlderThan(t *testing.T) {
	for _, test := range []struct {
		release      string
		major, minor int
		want         bool
	}{
		{"6.1.0-44-amd64", 6, 4, true},
		{"6.4.0", 6, 4, false},
		{"6.12.95+deb12-cloud-amd64", 6, 4, false}, // a number, not a fraction
		{"5.15.0-91-generic", 5, 9, false},
		{"7.3", 6, 17, false},
		{"4.19-rc1", 5, 0, true},
		{"6.8.0", 7, 0, true},
	} {
		if got, err := olderThan(test.release, test.major, test.minor); got != test.want || err != nil {
			t.Errorf("%s older than %d.%d: %v, %v", test.release, test.major, test.minor, got, err)
		}
	}
	for _, release := range []string{"", "6", "linux-6.1", "6.x"} {
		if _, err := olderThan(release, 6, 1); err == nil {
			t.Errorf("%q was taken for a release", release)
		}
	}
}

// TestRequireLinux: a kernel that is new enough is not let off.
func TestRequireLinux(t *testing.T) {
	RequireLinux(t, 2, 6, "all that this test asks for")
	skipped := t.Run("from the future", func(t *testing.T) {
		RequireLinux(t, 1000, 0, "what nobody knows yet")
		t.Error("went on")
	})
	if !skipped {
		t.Error("failed where it does not apply")
	}
}

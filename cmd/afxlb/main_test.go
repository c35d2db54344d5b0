package main

import (
	"os"
	"testing"
)

// TestMain makes the test binary stand in for afxlb itself, so that tests can
// start real processes of it in namespaces.
func TestMain(m *testing.M) {
	if os.Getenv("AFXLB_TEST_MAIN") != "" {
		if list := os.Getenv(familiesEnv); list != "" {
			if err := restrictFamilies(list); err != nil {
				panic(err)
			}
		}
		main()
	}
	os.Exit(m.Run())
}

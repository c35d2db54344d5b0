package main

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain makes the test binary stand in for afxlb itself, so that tests can
// start real processes of it in namespaces.
func TestMain(m *testing.M) {
	if os.Getenv(curlEnv) != "" {
		if err := curl(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv("AFXLB_TEST_MAIN") != "" {
		if dir := os.Getenv(sandboxEnv); dir != "" {
			panic(enterSandbox(dir))
		}
		if list := os.Getenv(capabilitiesEnv); list != "" {
			panic(restrictCapabilities(list))
		}
		if list := os.Getenv(familiesEnv); list != "" {
			if err := restrictFamilies(list); err != nil {
				panic(err)
			}
		}
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // some are crashed
		main()
	}
	os.Exit(m.Run())
}

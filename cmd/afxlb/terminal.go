package main

import (
	"cmp"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether what is read or written is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// isScreen reports whether it is one that can be drawn on: not if nobody says of what kind it is.
func isScreen(stream any) bool {
	kind := os.Getenv("TERM")
	return isTerminal(stream) && kind != "" && kind != "dumb"
}

// isASCII reports whether terminals show ASCII alone, by the variables of locale(7); where none is
// set, they are taken for what they are today.
func isASCII(getenv func(string) string) bool {
	locale := cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG"))
	charset := strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return locale != "" && !strings.Contains(charset, "utf8")
}

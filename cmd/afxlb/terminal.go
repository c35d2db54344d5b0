package main

import (
	"os"

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

// isScreen reports whether it is one that can be drawn on.
func isScreen(stream any) bool { return isTerminal(stream) && os.Getenv("TERM") != "dumb" }

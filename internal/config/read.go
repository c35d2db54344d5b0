package config

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// maxFile is far above the largest config that can be meant: 100,000 backends take less than 10 MB.
	maxFile = 16 << 20
	// readTime is how long a pipe may take to come to its end.
	readTime = 5 * time.Second
)

// read reads the file at path. It may be what has no end, or nothing yet, as a device and a
// pipe: who reads it while it balances must not go on for ever, nor until the memory is full.
func read(path string, patience time.Duration) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or a pipe would be waited for already
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(patience)) // a file on a disk has none, and needs none
	return ReadFrom(f, path)
}

// ReadFrom reads what r has, which is known by a name, up to the size that a config can have.
func ReadFrom(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("read %s: it has more than %d MB, and is no config", name, maxFile>>20)
	}
	return data, err
}

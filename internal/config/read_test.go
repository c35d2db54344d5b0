package config

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is no file with an end is an error, soon.
func TestReadNoFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := read(pipe, time.Hour); len(data) != 0 || err != nil {
		t.Errorf("a pipe that nobody writes to: %d bytes, %v", len(data), err)
	}
	w, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("services: []\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := read(pipe, time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), pipe) {
		t.Errorf("a pipe without an end: %v", err)
	}
	if _, err := read("/dev/zero", time.Hour); err == nil || !strings.Contains(err.Error(), "/dev/zero: it has more than 16 MB") {
		t.Errorf("a device without an end: %v", err)
	}
	if _, err := read(t.TempDir(), time.Hour); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a folder: %v", err)
	}
}

// A pipe that has an end is a file like any other: afxlb --config <(generate).
func TestReadPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		defer w.Close()
		_, _ = w.WriteString("services: []\n")
	}()
	data, err := read(filepath.Join("/proc/self/fd", strconv.Itoa(int(r.Fd()))), time.Hour)
	if string(data) != "services: []\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

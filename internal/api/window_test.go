package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// At no moment is there a socket that those may connect to who may not: at its path it
// has its mode from the first moment on, even if the umask takes nothing away, and where
// it was made nobody else may look.
func TestSocketIsNeverOpenToAll(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	changes := watch(t, filepath.Dir(path))
	var wg sync.WaitGroup
	done := make(chan struct{})
	defer wg.Wait()
	defer close(done)
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			for p, want := range map[string]os.FileMode{path: os.ModeSocket | 0o660, path + ".new": os.ModeDir | 0o700, path + ".lock": 0o600} {
				if info, err := os.Lstat(p); err == nil && info.Mode() != want {
					t.Errorf("%s: mode %v, want %v", p, info.Mode(), want)
				}
			}
		}
	})
	for range 100 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	for _, c := range changes() {
		if c.mask&syscall.IN_ATTRIB != 0 {
			t.Fatalf("the mode of %s was changed when it was there", c.name)
		}
	}
}

type change struct {
	mask uint32
	name string
}

// watch returns a function that returns what came to be or changed in dir; see
// inotify(7).
func watch(t *testing.T, dir string) func() []change {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_MOVED_TO|syscall.IN_ATTRIB); err != nil {
		t.Fatal(err)
	}
	return func() (list []change) {
		for b := make([]byte, 1<<16); ; {
			n, err := syscall.Read(fd, b)
			if errors.Is(err, syscall.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for e := b[:n]; len(e) > 0; {
				end := syscall.SizeofInotifyEvent + binary.NativeEndian.Uint32(e[12:])
				name, _, _ := bytes.Cut(e[syscall.SizeofInotifyEvent:end], []byte{0})
				list = append(list, change{binary.NativeEndian.Uint32(e[4:]), string(name)})
				e = e[end:]
			}
		}
		if len(list) < 100 {
			t.Errorf("%d changes seen, want more: the watch does not work", len(list))
		}
		return list
	}
}

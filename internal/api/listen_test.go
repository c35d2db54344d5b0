package api

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// alone holds that Listen left nothing beside what is to be in path's folder.
func alone(t *testing.T, path string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("in the folder: %q, want %q", got, want)
	}
}

// reaches reports whether who connects at path is accepted by l.
func reaches(path string, l net.Listener) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := l.Accept()
	if err != nil {
		return err
	}
	return a.Close()
}

func TestListenAndClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("mode %v, want a socket's with 660", info.Mode())
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("address %q, want %q", got, path)
	}
	alone(t, path, "afxlb.sock", "afxlb.sock.lock")
	if err := reaches(path, l); err != nil {
		t.Error(err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	alone(t, path)
}

func TestListenSparesALivingBalancer(t *testing.T) {
	c := serve(t, fixed{})
	if _, err := Listen(c.path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), c.path) {
		t.Fatalf("second Listen: %v, want ErrInUse and the path", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the first was harmed: %v", err)
	}
	alone(t, c.path, "afxlb.sock", "afxlb.sock.lock")
}

// One that knows nothing of the lock, such as a balancer of before it.
func TestListenSparesALivingSocketWithoutLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("Listen: %v, want ErrInUse", err)
	}
	alone(t, path, "afxlb.sock")
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		suffix string
		make   func(path, precious string) error
	}{
		"file":            {"", func(path, _ string) error { return os.WriteFile(path, []byte("data"), 0o600) }},
		"folder":          {"", func(path, _ string) error { return os.Mkdir(path, 0o700) }},
		"pipe":            {"", func(path, _ string) error { return syscall.Mkfifo(path, 0o600) }},
		"link to a file":  {"", func(path, precious string) error { return os.Symlink(precious, path) }},
		"link to nothing": {"", func(path, precious string) error { return os.Symlink(precious+"no", path) }},
		"link for lock":   {".lock", func(path, precious string) error { return os.Symlink(precious, path) }},
		"broken for lock": {".lock", func(path, precious string) error { return os.Symlink(precious+"no", path) }},
		"link for folder": {".new", func(path, precious string) error { return os.Symlink(filepath.Dir(precious), path) }},
		"file for folder": {".new", func(path, _ string) error { return os.WriteFile(path, []byte("data"), 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			path, precious := filepath.Join(t.TempDir(), "afxlb.sock"), filepath.Join(t.TempDir(), "afxlb.sock")
			if err := os.WriteFile(precious, []byte("data"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path+c.suffix, precious); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path + c.suffix)
			if err != nil {
				t.Fatal(err)
			}
			if l, err := Listen(path); err == nil {
				l.Close()
				t.Error("Listen worked")
			}
			after, err := os.Lstat(path + c.suffix)
			if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
				t.Errorf("what was there: %v, %v", after, err)
			}
			alone(t, path, "afxlb.sock"+c.suffix)
			alone(t, precious, "afxlb.sock")
			if info, err := os.Stat(precious); err != nil || info.Mode() != 0o600 || info.Size() != 4 {
				t.Errorf("the link's target: %v, %v", info, err)
			}
		})
	}
}

// What came to the path after it was looked at is not replaced either.
func TestPublishReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	made, path := filepath.Join(dir, "made"), filepath.Join(dir, "afxlb.sock")
	for _, p := range []string{made, path} {
		if err := os.WriteFile(p, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish(made, path); !errors.Is(err, os.ErrExist) {
		t.Errorf("publish: %v, want %v", err, os.ErrExist)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != path {
		t.Errorf("the file: %q, %v", b, err)
	}
}

func TestCloseRemovesOnlyItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody removed all by hand and started another.
	if err := errors.Join(os.Remove(path), os.Remove(path+".lock")); err != nil {
		t.Fatal(err)
	}
	l2, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	alone(t, path, "afxlb.sock", "afxlb.sock.lock")
	if err := reaches(path, l2); err != nil {
		t.Error(err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a third: %v, want ErrInUse", err)
	}
	l2.Close()
	alone(t, path)
}

func TestPathLength(t *testing.T) {
	dir := t.TempDir()
	longest := filepath.Join(dir, strings.Repeat("x", 107-len(dir)-1))
	l, err := Listen(longest)
	if err != nil {
		t.Fatal(err)
	}
	if err := reaches(longest, l); err != nil {
		t.Error(err)
	}
	l.Close()
	for path, want := range map[string]string{longest + "x": "108 bytes", "": "path of a file", "@afxlb": "path of a file"} {
		if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%q): %v, want %q", path, err, want)
		}
	}
	alone(t, longest)
}

// Of several that start at one moment one gets the socket, and it works, whatever was
// left there before and even while the one before them ends.
func TestStartsAtOneMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	for round := range 300 {
		var ending net.Listener
		switch round % 3 {
		case 1:
			stale(t, path)
		case 2:
			var err error
			if ending, err = Listen(path); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		var got [4]net.Listener
		var errs [4]error
		start := make(chan struct{})
		for i := range got {
			wg.Go(func() {
				<-start
				got[i], errs[i] = Listen(path)
			})
		}
		if ending != nil {
			wg.Go(func() {
				<-start
				ending.Close()
			})
		}
		close(start)
		wg.Wait()
		winners := 0
		for i, l := range got {
			if l == nil {
				if !errors.Is(errs[i], ErrInUse) {
					t.Errorf("round %d: %v, want ErrInUse", round, errs[i])
				}
				continue
			}
			winners++
			if err := reaches(path, l); err != nil {
				t.Errorf("round %d: the winner's socket: %v", round, err)
			}
			l.Close()
		}
		if winners != 1 && (ending == nil || winners != 0) {
			t.Errorf("round %d: %d have the socket", round, winners)
		}
		if t.Failed() {
			return
		}
		alone(t, path)
	}
}

// The lock is one process's at a time, though its file comes and goes.
func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders, held atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for held.Load() < 5000 && !t.Failed() {
				l, err := acquire(path)
				if errors.Is(err, ErrInUse) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have it", n)
				}
				held.Add(1)
				runtime.Gosched()
				holders.Add(-1)
				l.release()
			}
		})
	}
	wg.Wait()
}

// stale leaves at path what a killed balancer leaves.
func stale(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(path+".new", "afxlb.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(path+".new", "afxlb.sock"), path); err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestServeRemovesItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, l, fixed{}, nop, maxConns); err != nil {
		t.Error(err)
	}
	alone(t, path)
}

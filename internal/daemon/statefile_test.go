package daemon

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/internal/control"
)

func someState() *stateFile {
	return &stateFile{stateVersion, []control.Kept{
		{Service: "192.0.2.10:80/tcp", Backend: "10.0.0.11:8080", State: "drain", Filed: "weight 1"},
		{Service: "[2001:db8::1]:any/udp", Backend: "2001:db8::2", Weight: new(uint16(0)), Filed: "weight 3"},
	}}
}

// What is written is read again, in a folder that there is or is not, over what was there.
func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb", "state.json")
	if s, text, err := readState(path); err != nil || text != nil || len(s.Overrides) != 0 {
		t.Fatalf("no file: %+v, %q, %v", s, text, err)
	}
	var was []byte
	for _, want := range []*stateFile{someState(), {Version: stateVersion, Overrides: someState().Overrides[:1]}} {
		if err := writeState(path, was, want.text()); err != nil {
			t.Fatal(err)
		}
		was = want.text()
		got, text, err := readState(path)
		if err != nil || !cmp.Equal(got, want) || !bytes.Equal(text, want.text()) {
			t.Errorf("read %+v, %q, %v; want %+v", got, text, err, want)
		}
	}
	if err := writeState(path, someState().text(), someState().text()); !errors.Is(err, errForeign) {
		t.Errorf("over what somebody else has written: %v", err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("the folder has %v, %v", list, err)
	}
}

// A file that can't be written leaves the old one whole, and nothing else.
func TestStateFileThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	if err := writeState(path, nil, someState().text()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".new"); err != nil { // there it is written first
		t.Fatal(err)
	}
	if err := writeState(path, someState().text(), someState().text()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("no space left: %v", err)
	}
	if err := syscall.Mkfifo(path+".new", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeState(path, someState().text(), someState().text()); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a pipe that nobody reads: %v", err)
	}
	for name, path := range map[string]string{
		"no folder": filepath.Join(dir, "a", "b", "state.json"), "a file for a folder": filepath.Join(path, "state.json"), "a folder for a file": dir,
	} {
		if writeState(path, nil, someState().text()) == nil {
			t.Errorf("%s: written", name)
		}
	}
	if _, text, err := readState(path); err != nil || !bytes.Equal(text, someState().text()) {
		t.Errorf("the old one is %q, %v", text, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the folder has %v, %v", list, err)
	}
}

// Each of these is told, and not taken for something else.
func TestDamagedStateFile(t *testing.T) {
	whole := string(someState().text())
	for name, text := range map[string]string{
		"empty": "", "zeros": string(make([]byte, 4096)), "cut": whole[:len(whole)-20], "more": whole + "{}", "another version": `{"version": 2, "overrides": []}`,
		"no version": `{"overrides": []}`, "unknown key": `{"version": 1, "overrides": [{"service": "a", "backend": "b", "state": "drain", "filed": "", "more": 1}]}`,
		"state":   `{"version": 1, "overrides": [{"service": "a", "backend": "b", "state": "up", "filed": ""}]}`,
		"weight":  `{"version": 1, "overrides": [{"service": "a", "backend": "b", "weight": 65536, "filed": ""}]}`,
		"nothing": `{"version": 1, "overrides": [{"service": "a", "backend": "b", "filed": ""}]}`,
		"twice":   `{"version": 1, "overrides": [{"service": "a", "backend": "b", "weight": 1, "filed": ""}, {"service": "a", "backend": "b", "state": "drain", "filed": ""}]}`,
	} {
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, _, err := readState(path); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	pipe := filepath.Join(t.TempDir(), "state.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir()} {
		if _, _, err := readState(path); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whatever is taken is written again as what it was.
func FuzzState(f *testing.F) {
	f.Add(someState().text())
	f.Add([]byte(`{"version": 1, "overrides": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err != nil {
			return
		}
		again, err := parseState(s.text())
		if err != nil || !cmp.Equal(again, s) {
			t.Errorf("%q is %+v, and written and read again %+v, %v", text, s, again, err)
		}
	})
}

package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/afxlb/afxlb/internal/control"
)

// stateFile is what outlives the process, as it lies in the state file.
type stateFile struct {
	Version   int            `json:"version"`
	Overrides []control.Kept `json:"overrides"`
}

const (
	stateVersion = 1
	// maxState is far above what 65,536 backends take, in bytes.
	maxState = 64 << 20
)

// errDamaged says that a state file is not one that was written here.
var errDamaged = errors.New("it is damaged, or another version's")

// errForeign says that somebody else has written the state file since it was read or written
// here. What he has there must not be lost.
var errForeign = errors.New("somebody else has changed it: each balancer wants a state-file of its own; remove it if it is nobody's")

// readState reads the state file at path. That there is none is no error, and its content
// is nil then.
func readState(path string) (*stateFile, []byte, error) {
	text, err := loadState(path)
	if err != nil || text == nil {
		return &stateFile{}, nil, err
	}
	s, err := parseState(text)
	if err != nil {
		return nil, nil, fmt.Errorf("read the state file %s: %w: %w", path, errDamaged, err)
	}
	return s, text, nil
}

// loadState returns the content of the file at path, nil if there is none.
func loadState(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe without a writer would be waited for
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the state file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read the state file %s: %w: it is no regular file", path, errDamaged)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, fmt.Errorf("read the state file: %w", err)
	}
	return text, nil // of an empty file it is not nil
}

// parseState reads the content of a state file. What it takes is what [stateFile.text]
// could have made.
func parseState(text []byte) (*stateFile, error) {
	var s stateFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind its end")
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("its version is %d, and %d is known", s.Version, stateVersion)
	}
	seen := map[[2]string]bool{}
	for i := range s.Overrides {
		o := &s.Overrides[i]
		switch is := [2]string{o.Service, o.Backend}; {
		case o.State != "" && o.State != control.BackendDrain && o.State != control.BackendDisabled:
			return nil, fmt.Errorf("%q is no state that a backend is given", o.State)
		case o.State == "" && o.Weight == nil:
			return nil, fmt.Errorf("%s of %s has nothing changed", o.Backend, o.Service)
		case seen[is]:
			return nil, fmt.Errorf("%s of %s is there twice", o.Backend, o.Service)
		default:
			seen[is] = true
		}
	}
	return &s, nil
}

// text is the content of the file.
func (s *stateFile) text() []byte {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // there is nothing in it that JSON does not have
	}
	return append(b, '\n')
}

// writeState puts a file with this content at path in place of one with that of was, which
// is nil if there is none: whole or not at all, whatever happens meanwhile. It makes the
// folder if there is none.
func writeState(path string, was, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the state file: %w", err)
		}
	}()
	switch there, err := loadState(path); {
	case err != nil:
		return err
	case there != nil && !bytes.Equal(there, was) && !bytes.Equal(there, text):
		return fmt.Errorf("%s: %w", path, errForeign)
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	next := path + ".new"
	if err := writeFile(next, text); err != nil {
		_ = os.Remove(next) // there may be none
		return err
	}
	if err := os.Rename(next, path); err != nil {
		_ = os.Remove(next)
		return err
	}
	return syncFile(dir) // or the name may be the old file's after a crash
}

// writeFile writes a file to the disk.
func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o644) // or a pipe would be waited for
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFile has the kernel write what it still has of a file, or of a folder, to the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

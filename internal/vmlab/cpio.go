package vmlab

import (
	"fmt"
	"io"
	"path"
	"slices"
)

// archive writes an initramfs: cpio in the kernel's "newc" form
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w    io.Writer
	made []string // folders
	n    int      // entries so far: their inode numbers
	err  error
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755 // all may be run: the guest is root
)

// file adds a file, and the folders above it. The path has no leading slash.
func (a *archive) file(name string, data []byte) {
	a.folders(path.Dir(name))
	a.entry(name, modeFile, data)
}

// folders adds a folder and those above it, once each.
func (a *archive) folders(name string) {
	if name == "." || slices.Contains(a.made, name) {
		return
	}
	a.folders(path.Dir(name))
	a.made = append(a.made, name)
	a.entry(name, modeDir, nil)
}

// close ends the archive and returns the first error of all.
func (a *archive) close() error {
	a.n = -1 // the trailer's inode number is zero
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode int, data []byte) {
	a.n++
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	a.write([]byte(header))
	a.write(data)
}

// write writes data and fills up to four bytes.
func (a *archive) write(data []byte) {
	if a.err != nil {
		return
	}
	if _, a.err = a.w.Write(data); a.err != nil {
		return
	}
	_, a.err = a.w.Write(make([]byte, -len(data)&3))
}

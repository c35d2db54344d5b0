package vmlab

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMirrorIsTheMachines(t *testing.T) {
	const targets = `http://security.example/debian-security/ bookworm-security main
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/debian/ bookworm main
http://other.example/debian/ bookworm main
`
	if got, err := mirrorIn(targets); got != "http://mirror.example/debian" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := mirrorIn("http://mirror.example/debian/ trixie main\n"); err == nil {
		t.Error("took a mirror without what is needed")
	}
}

// TestAptTouchesNothingOfTheMachines: all that apt writes is in the folder, signatures
// must be there, and the way to the mirror is the machine's.
func TestAptTouchesNothingOfTheMachines(t *testing.T) {
	got := aptConf("/cache/apt", `Acquire "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::AllowInsecureRepositories "1";
Acquire::IndexTargets::deb::DEP-11::MetaKey "x";
`)
	for _, want := range []string{
		`Acquire::http::Proxy "http://proxy.example:3128";`,
		`Dir::State::lists "/cache/apt/lists";`, `Dir::Cache "/cache/apt/cache";`,
		`Dir::Etc::sourcelist "/cache/apt/sources.list";`, `Dir::Etc::parts "/cache/apt/parts";`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	for _, not := range []string{"AllowInsecure", "DEP-11"} {
		if strings.Contains(got, not) {
			t.Errorf("%s is still in\n%s", not, got)
		}
	}
	for line := range strings.Lines(sourcesList("http://mirror.example/debian")) {
		if !strings.HasPrefix(line, "deb [signed-by="+keyring+"] http://mirror.example/debian ") {
			t.Errorf("source %q", line)
		}
	}
}

func TestVersionOfASuite(t *testing.T) {
	const madison = `linux-image-amd64 | 7.3.4-1~bpo13+1 | http://m/debian trixie-backports/main amd64 Packages
linux-image-amd64 | 6.12.95-1~bpo12+1 | http://m/debian bookworm-backports/main amd64 Packages
linux-image-amd64 |  6.1.176-1 | http://m/debian bookworm/main amd64 Packages
`
	for suite, want := range map[string]string{"bookworm": "6.1.176-1", "bookworm-backports": "6.12.95-1~bpo12+1", "trixie-backports": "7.3.4-1~bpo13+1"} {
		if got, err := versionIn(madison, "linux-image-amd64", suite); got != want || err != nil {
			t.Errorf("%s: %q, %v", suite, got, err)
		}
	}
	if _, err := versionIn(madison, "linux-image-amd64", "trixie"); err == nil {
		t.Error("found what is not there")
	}
}

func TestDependsOfAPackage(t *testing.T) {
	const show = `Package: linux-image-7.3.4+deb13-amd64
Depends: initramfs-tools | dracut, linux-base-7.3.4+deb13-amd64 (= 7.3.4-1), linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1), linux-modules-7.3.4+deb13-amd64 (= 7.3.4-1)
Description: Linux

Package: linux-image-7.3.4+deb13-amd64
Depends: linux-binary-7.2.0
`
	want := []string{"linux-base-7.3.4+deb13-amd64", "linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64"}
	if got := dependsIn(show, partName); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := dependsIn("Depends: linux-base (>= 4.3~), kmod\n", partName); got != nil {
		t.Errorf("%q", got)
	}
	if got := dependsIn("Depends: linux-image-6.1.0-50-amd64 (= 6.1.176-1)\n", imageName); !slices.Equal(got, []string{"linux-image-6.1.0-50-amd64"}) {
		t.Errorf("%q", got)
	}
	if got := dependsIn("Pre-Depends: a\nDepends: b\n", regexp.MustCompile(`.`)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%q", got)
	}
}

func TestInstalled(t *testing.T) {
	const simulation = `Reading package lists...
Inst libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])
Inst qemu-system-x86 [1:7.2+dfsg-7] (1:10.0.2+ds-2 Debian Backports:oldstable-backports [amd64])
Conf libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])
`
	if got := installedIn(simulation); !slices.Equal(got, []string{"libfdt1=1.6.1-4+b1", "qemu-system-x86=1:10.0.2+ds-2"}) {
		t.Errorf("%q", got)
	}
}

// TestArchive: what was packed is what the kernel unpacks (init/initramfs.c).
func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := &archive{w: &b}
	files := map[string][]byte{"init": []byte("#!/bin/sh\n"), "a/b/c": bytes.Repeat([]byte{7}, 4097), "a/b/empty": nil, "a/d": {1, 2, 3}}
	a.folders("tmp")
	for name, text := range files {
		a.file(name, text)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if b.Len()%4 != 0 {
		t.Errorf("%d bytes", b.Len())
	}
	got, folders := unarchive(t, b.Bytes())
	for name, want := range files {
		if text, ok := got[name]; !ok || !bytes.Equal(text, want) {
			t.Errorf("%s: %q", name, text)
		}
	}
	if want := []string{"a", "a/b", "tmp"}; len(got) != len(files) || !slices.Equal(folders, want) {
		t.Errorf("%d files, folders %q", len(got), folders)
	}
}

// unarchive reads a cpio as the kernel does.
func unarchive(t *testing.T, b []byte) (files map[string][]byte, folders []string) {
	t.Helper()
	files = map[string][]byte{}
	next := func(n int) []byte {
		part := b[:n]
		b = b[min(len(b), (n+3)&^3):]
		return part
	}
	seen := map[int64]bool{}
	for {
		field := func(i int) int64 {
			v, err := strconv.ParseInt(string(b[6+8*i:14+8*i]), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if string(b[:6]) != "070701" {
			t.Fatalf("magic %q", b[:6])
		}
		ino, mode, size, nameSize := field(0), field(1), int(field(6)), int(field(11))
		name := string(next(110 + nameSize)[110 : 110+nameSize-1])
		data := next(size)
		switch {
		case name == "TRAILER!!!":
			if len(b) != 0 {
				t.Errorf("%d bytes after the end", len(b))
			}
			slices.Sort(folders)
			return files, folders
		case seen[ino]:
			t.Errorf("inode %d comes twice", ino)
		case mode&0o170000 == 0o040000:
			folders = append(folders, name)
		default:
			files[name] = data
		}
		seen[ino] = true
	}
}

// TestArchiveTellsErrors: a full disk is no archive.
func TestArchiveTellsErrors(t *testing.T) {
	a := &archive{w: &full{room: 300}}
	a.file("a", make([]byte, 1000))
	a.file("b", nil)
	if err := a.close(); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

var errFull = errors.New("full")

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

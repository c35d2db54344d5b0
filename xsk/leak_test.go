package xsk

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseMaps(t *testing.T) {
	const maps = `00400000-0082d000 r-xp 00000000 08:01 1234   /usr/bin/socket:[99]x
7f0000000000-7f0000001000 rw-s 00000000 00:08 4711                       socket:[4711]
7f0000002000-7f0000003000 rw-s 80000000 00:08 4711                       socket:[4711]
7f0000004000-7f0000005000 rw-s 00000000 00:08 4712                       socket:[4713]
7f0000006000-7f0000006000 rw-s 00000000 00:08 4714                       socket:[4714]
zz-7f0000006000 rw-s 00000000 00:08 4714                       socket:[4714]
7f0000008000-7f0000009000 rw-s 100000000 00:08 4715                      socket:[4715]
7f000000a000-7f000000b000 rw-s 00000000 00:08 4716                       socket:[4716] (deleted)
socket:[1]
7ffd7a5e1000-7ffd7a602000 rw-p 00000000 00:00 0                          [stack]
`
	got, err := parseMaps(strings.NewReader(maps))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{
		{0x7f0000000000, 0x7f0000001000, 4711},
		{0x7f0000002000, 0x7f0000003000, 4711},
		{0x7f0000008000, 0x7f0000009000, 4715},
		{0x7f000000a000, 0x7f000000b000, 4716},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// TestOpenSockets: a socket that is open here keeps its ring maps.
func TestOpenSockets(t *testing.T) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	inode, err := socketInode(fd)
	if err != nil {
		t.Fatal(err)
	}
	open, err := openSockets()
	if err != nil || !open[inode] {
		t.Errorf("socket %d is not among the open %v (%v)", inode, open, err)
	}
	unix.Close(fd)
	open, err = openSockets()
	if err != nil || open[inode] {
		t.Errorf("socket %d is among the open %v (%v) after it was closed", inode, open, err)
	}
}

// TestWithErrno: the library keeps an errno's text only.
func TestWithErrno(t *testing.T) {
	for _, errno := range asavieErrnos {
		err := withErrno(errors.New("syscall.Bind SockaddrXDP failed: " + errno.Error()))
		if !errors.Is(err, errno) || !strings.HasSuffix(err.Error(), errno.Error()) {
			t.Errorf("%v: errno %v not found", err, errno)
		}
	}
	plain := errors.New("RxRingNumDescs and TxRingNumDescs cannot both be set to zero")
	if got := withErrno(plain); got != plain {
		t.Errorf("%v became %v", plain, got)
	}
}

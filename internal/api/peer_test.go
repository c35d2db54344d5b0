package api

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/afxlb/afxlb/internal/testutil"
)

// Whoever may open the socket may read. Changes are for root, the socket's owner and its
// group, whose members may have it as a supplementary one, however many they have.
func TestWhoMayChange(t *testing.T) {
	testutil.RequireRoot(t)
	const owner, group, other = 4001, 4002, 4003
	path := serveAt(t, fixed{}, nop)
	if err := os.Chown(path, owner, group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	many := make([]uint32, 1000)
	for i := range many {
		many[i] = uint32(10_000 + i)
	}
	for name, c := range map[string]struct {
		uid, gid uint32
		groups   []uint32
		may      bool
	}{
		"root":                   {0, other, nil, true},
		"owner":                  {owner, other, nil, true},
		"group":                  {other, group, nil, true},
		"supplementary":          {other, other, []uint32{group}, true},
		"of many":                {other, other, append(many, group), true},
		"other":                  {other, other, nil, false},
		"other with many groups": {other, other, many, false},
	} {
		for request, want := range map[string]string{"GET /v1/status": "200", "POST /v1/reload": map[bool]string{true: "200", false: "403"}[c.may]} {
			method, url, _ := strings.Cut(request, " ")
			conn := dialAs(t, path, c.uid, c.gid, c.groups)
			if _, err := conn.Write([]byte(method + " " + url + " HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if res := response(t, conn); !strings.HasPrefix(res.Status, want) {
				t.Errorf("%s: %s: %s, want %s", name, request, res.Status, want)
			}
			conn.Close()
		}
	}
}

// dialAs connects as somebody else: the kernel notes who a thread is when it connects.
func dialAs(t *testing.T, path string, uid, gid uint32, groups []uint32) net.Conn {
	t.Helper()
	type dialed struct {
		net.Conn
		err error
	}
	done := make(chan dialed)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := become(uid, gid, groups); err != nil {
			done <- dialed{nil, err}
			return
		}
		c, err := net.Dial("unix", path)
		done <- dialed{c, err}
	}()
	d := <-done
	if d.err != nil {
		t.Fatal(d.err)
	}
	return d.Conn
}

// become changes who this thread is, and no other.
func become(uid, gid uint32, groups []uint32) error {
	var list unsafe.Pointer
	if len(groups) > 0 {
		list = unsafe.Pointer(&groups[0])
	}
	for _, c := range [][3]uintptr{
		{syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list)}, {syscall.SYS_SETGID, uintptr(gid)}, {syscall.SYS_SETUID, uintptr(uid)},
	} {
		if _, _, errno := syscall.RawSyscall(c[0], c[1], c[2], 0); errno != 0 {
			return errno
		}
	}
	runtime.KeepAlive(groups)
	return nil
}

// The socket's group is that of its folder, if that hands it on: so an administrator says
// who may change something.
func TestGroupOfTheFolder(t *testing.T) {
	testutil.RequireRoot(t)
	const group = 4002
	dir := t.TempDir()
	if err := os.Chown(dir, 0, group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, os.ModeSetgid|0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, gid, err := owner(path); gid != group || err != nil {
		t.Errorf("the socket's group is %d, %v, want %d", gid, err, group)
	}
}

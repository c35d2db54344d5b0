package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

// What Descriptors promises is enough, in a process that has just started: what is done
// once, and remembered, needs descriptors too.
func TestDescriptors(t *testing.T) {
	testutil.RequireRoot(t)
	for _, queues := range []int{1, 4} {
		l, err := lab.New(lab.Options{Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		for _, driver := range []xsk.Driver{xsk.DriverNative, xsk.DriverAsavie} {
			t.Run(fmt.Sprint(driver, "/", queues), func(t *testing.T) {
				if driver == xsk.DriverAsavie {
					testutil.RequireLinux(t, 6, 4, "bound sockets whose rings can be mapped again")
				}
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), fmt.Sprintf("ENGINE_TEST_ACQUIRE=%d %s", queues, driver))
				c.Stdout, c.Stderr = t.Output(), t.Output()
				if err := l.Balancer.Start(c); err != nil {
					t.Fatal(err)
				}
				if err := c.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
		must(t, l.Close())
	}
}

// acquireAndTell is TestDescriptors' other process.
func acquireAndTell() int {
	var queues int
	var driver string
	_, err := fmt.Sscan(os.Getenv("ENGINE_TEST_ACQUIRE"), &queues, &driver)
	if err == nil {
		err = acquireWithin(queues, xsk.Driver(driver))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func acquireWithin(queues int, driver xsk.Driver) error {
	e, err := newReal(queues, driver)
	if err != nil {
		return err
	}
	device, err := net.InterfaceByName(lab.Interface)
	if err != nil {
		return err
	}
	before := descriptors()
	if err := leave(before, Descriptors(1, queues)); err != nil {
		return err
	}
	if err := e.Acquire(device.Index); err != nil {
		return err
	}
	kept := len(descriptors()) - len(before)
	fmt.Printf("%d queues, driver %s: %d descriptors are kept of %d\n", queues, driver, kept, Descriptors(1, queues))
	if err := e.Release(); err != nil {
		return err
	}
	if after := descriptors(); !slices.Equal(before, after) {
		return fmt.Errorf("descriptors %v were open before, %v after the release", before, after)
	}
	return nil
}

// descriptors returns those that the process has open.
func descriptors() (open []int) {
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		fd, _ := strconv.Atoi(filepath.Base(name))
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil { // not the folder's
			open = append(open, fd)
		}
	}
	slices.Sort(open)
	return open
}

// leave lowers the process's limit so that just n more than those can be open.
func leave(open []int, n int) error {
	limit := 0
	for free := 0; free < n; limit++ {
		if !slices.Contains(open, limit) {
			free++
		}
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)})
}

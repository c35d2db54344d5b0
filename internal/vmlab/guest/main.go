// Command guest is the first process of a virtual machine of the lab. It makes a kernel
// usable, loads the modules that came along, and then serves the machine's requests
// through a virtio port. By other names, and with arguments, it is the few programs that
// those need: see verbs.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/vmlab/agent"
)

func main() {
	var err error
	if os.Getpid() == 1 {
		err = boot()
	} else {
		err = verb(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	if os.Getpid() == 1 {
		// Whatever went wrong is on the console by now.
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if err != nil {
		os.Exit(1)
	}
}

// mounts are what the kernel does not mount by itself.
var mounts = []struct{ kind, on string }{
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"devtmpfs", "/dev"},
	{"tmpfs", "/dev/shm"},
	{"tmpfs", "/tmp"},
	{"tmpfs", "/run"},
	{"bpf", "/sys/fs/bpf"},
	{"cgroup2", "/sys/fs/cgroup"},
	{"tracefs", "/sys/kernel/tracing"},
}

// boot is the guest's life.
func boot() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.on, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.on, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.on, err)
		}
	}
	for name, value := range map[string]string{"PATH": "/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "AFXLB_ROOT_TESTS": "1"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := setLink("lo", true); err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	return agent.Serve(port, port, unix.ByteSliceToString(name.Release[:]))
}

// loadModules loads the modules of a folder by the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("load %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// openPort opens the one virtio port that the guest has.
func openPort() (*os.File, error) {
	found, err := filepath.Glob("/dev/vport*")
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("find the port to the machine: %q, %w", found, err)
	}
	return os.OpenFile(found[0], os.O_RDWR, 0)
}

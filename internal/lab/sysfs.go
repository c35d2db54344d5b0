package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sysfs writes an attribute of the namespace, such as
// "class/net/eth0/queues/rx-0/rps_cpus". The machine's /sys shows the machine's
// interfaces only; another one, that is mounted nowhere, shows those of the namespace
// it was made in.
func (h *Host) Sysfs(name, value string) error {
	return h.Do(func() error {
		if err := writeSysfs(name, value); err != nil {
			return fmt.Errorf("set %s in %s: %w", name, h.Name, err)
		}
		return nil
	})
}

func writeSysfs(name, value string) error {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open a sysfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("make a sysfs: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID)
	if err != nil {
		return fmt.Errorf("mount a sysfs: %w", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

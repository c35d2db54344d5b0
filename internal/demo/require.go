package demo

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// requirements returns an error that names everything the machine or the process
// lacks: what AF_XDP takes, the right to make network namespaces, and TUN devices.
func requirements() error {
	err := errors.Join(xsk.Probe(), namespaceRight(), punt.Possible())
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("the demo must be run as root: %w", err)
	}
	return doctor.AsMachine(err)
}

func namespaceRight() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if sets[0].Effective>>unix.CAP_SYS_ADMIN&1 == 0 {
		return fmt.Errorf("missing privilege: CAP_SYS_ADMIN (network namespaces): %w", unix.EPERM)
	}
	return nil
}

package nic

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ifreq is struct ifreq of include/uapi/linux/if.h with ifr_data.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// indirection returns the interface's RSS table by ETHTOOL_GRXFHINDIR: struct
// ethtool_rxfh_indir of include/uapi/linux/ethtool.h, command, size and as many queues. The
// library's own reader has room for 256 of them, whatever there are.
func indirection(fd int, name string) ([]uint32, error) {
	const head = 8
	size := uint32(0)
	for {
		b := make([]byte, head+4*size)
		binary.NativeEndian.PutUint32(b, unix.ETHTOOL_GRXFHINDIR)
		binary.NativeEndian.PutUint32(b[4:], size)
		if err := siocethtool(fd, name, b); err != nil {
			return nil, fmt.Errorf("ask for the indirection table of %s: %w", name, err)
		}
		if got := binary.NativeEndian.Uint32(b[4:]); got != size && size == 0 {
			size = got // and now with room for it
			continue
		}
		table := make([]uint32, size)
		for i := range table {
			table[i] = binary.NativeEndian.Uint32(b[head+4*i:])
		}
		return table, nil
	}
}

// siocethtool makes one request of ethtool's, in b, where the answer comes too.
func siocethtool(fd int, name string, b []byte) error {
	var r ifreq
	if len(name) >= len(r.name) {
		return unix.ENODEV
	}
	copy(r.name[:], name)
	r.data = unsafe.Pointer(&b[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r)))
	runtime.KeepAlive(b)
	if errno != 0 {
		return errno
	}
	return nil
}
